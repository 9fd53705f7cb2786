package measure

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadSystemAddsUp(t *testing.T) {
	s, err := ReadSystem()
	if err != nil {
		t.Fatal(err)
	}
	if s.Total < 1<<20 || s.Used <= 0 || s.Used > s.Total || s.Available > s.Total || s.Slab <= 0 || s.Slab > s.Used {
		t.Errorf("this machine's memory: %+v", s)
	}
}

func TestMeminfo(t *testing.T) {
	m, err := meminfo([]byte("MemTotal:       24 kB\nMemFree: 3 kB\nMemAvailable: 5 kB\nSlab: 2 kB\nHugePages_Total: 0\n"))
	if err != nil || m["MemTotal"] != 24<<10 || m["Slab"] != 2<<10 {
		t.Errorf("meminfo = %v, %v", m, err)
	}
	if _, err := meminfo([]byte("MemTotal: 24 kB\n")); err == nil {
		t.Error("a file without MemAvailable was taken")
	}
	if _, err := meminfo([]byte("MemTotal: many kB\n")); err == nil {
		t.Error("a value that is no number was taken")
	}
}

func TestSocketMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sockstat")
	if err := os.WriteFile(path, []byte("sockets: used 7\nTCP: inuse 5 orphan 0 tw 0 alloc 9 mem 3\nUDP: inuse 0 mem 8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := socketMemory(path); err != nil || got != 3*kernelPage {
		t.Errorf("socketMemory = %d, %v; want %d", got, err, 3*kernelPage)
	}
	if err := os.WriteFile(path, []byte("sockets: used 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := socketMemory(path); err == nil {
		t.Error("a file without TCP's memory was taken")
	}
}
