package measure

import "testing"

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
