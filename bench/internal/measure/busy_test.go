package measure

import (
	"os"
	"testing"
	"time"
)

func TestBusyLeavesIdleTimeOut(t *testing.T) {
	const stat = "cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 1 2 4 1000 2000 8 16 32 64 128\nintr 5\n"
	got, err := busy([]byte(stat))
	if want := (1 + 2 + 4 + 8 + 16 + 32) * 10 * time.Millisecond; err != nil || got != want {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"", "cpu0 1 2 4 1000 2000 8 16 32", "cpu  1 2 3", "cpu  1 2 4 x 2000 8 16 32"} {
		if _, err := busy([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestBusyCountsWork(t *testing.T) {
	before, err := Busy()
	if err != nil {
		t.Fatal(err)
	}
	begin, err := CPU(os.Getpid())
	const work = 300 * time.Millisecond
	for now := begin; err == nil && now-begin < work; {
		now, err = CPU(os.Getpid())
	}
	if err != nil {
		t.Fatal(err)
	}
	after, err := Busy()
	if err != nil {
		t.Fatal(err)
	}
	if after-before < work/2 {
		t.Errorf("%v while this process worked for %v", after-before, work)
	}
}
