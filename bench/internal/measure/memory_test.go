package measure

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestFieldReadsKilobytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status")
	if err := os.WriteFile(path, []byte("Name:\tx\nVmPeak:\t  99 kB\nVmRSS:\t    1234 kB\nThreads:\t5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := field(path, "VmRSS:"); err != nil || got != 1234<<10 {
		t.Errorf("field = %d, %v; want %d", got, err, 1234<<10)
	}
	if _, err := field(path, "Pss:"); err == nil {
		t.Error("a field that is not there was found")
	}
}

func TestRSSSeesMemoryThatIsUsed(t *testing.T) {
	const size = 64 << 20
	before, err := RSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// Not of Go's heap, which may use pages again that are resident already.
	big, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(big) }() // the test ends
	for i := range big {
		big[i] = 1
	}
	after, err := RSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; grown < size*9/10 {
		t.Errorf("RSS grew by %d bytes when %d were used", grown, len(big))
	}
}

func TestSettledRSSEndsWithItsLimitAndItsContext(t *testing.T) {
	if _, err := SettledRSS(t.Context(), os.Getpid(), time.Hour, time.Millisecond); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SettledRSS(ctx, os.Getpid(), time.Hour, time.Hour); err == nil {
		t.Error("the end of the context was not noticed")
	}
}
