package machine

import (
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// large has no limit in the way.
func large() Machine {
	return Machine{Memory: 1 << 40, Files: 1 << 20, AllFiles: Unlimited, Ports: 28_232, Tracked: Unlimited,
		Watches: Unlimited, Processes: 1 << 20, Buffers: 1 << 40, Places: Unlimited}
}

func TestFit(t *testing.T) {
	million := Size{55, 18_200}
	for _, tc := range []struct {
		name  string
		limit func(*Machine)
		want  Size
		say   string
	}{
		{"nothing in the way", func(*Machine) {}, million, ""},
		{"as many files as it takes", func(m *Machine) { m.Files = 18_838 }, million, ""},
		{"files", func(m *Machine) { m.Files = 1024 }, Size{55, 710}, "ulimit -n"},
		{"memory takes nodes", func(m *Machine) { m.Memory = 8 << 30 }, Size{21, 18_200}, "memory"},
		{"little memory takes connections too", func(m *Machine) { m.Memory = 512 << 20 }, Size{2, 6_303}, "memory"},
		{"all files", func(m *Machine) { m.AllFiles = 500_000 }, Size{13, 18_200}, "fs.file-max"},
		{"epoll", func(m *Machine) { m.Watches = 400_000 }, Size{10, 18_200}, "max_user_watches"},
		{"firewall", func(m *Machine) { m.Tracked = 262_144 }, Size{14, 18_200}, "nf_conntrack_max"},
		{"processes", func(m *Machine) { m.Processes = 1600 }, Size{10, 18_200}, "pid_max"},
		{"nothing at all", func(m *Machine) { m.Memory = 0 }, Size{2, 0}, "memory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := large()
			tc.limit(&m)
			got, advice := Fit(million, m)
			if got != tc.want {
				t.Errorf("Fit = %+v, want %+v", got, tc.want)
			}
			if said := strings.Join(advice, "\n"); tc.say == "" && said != "" || !strings.Contains(said, tc.say) {
				t.Errorf("advice %q, want some about %q", said, tc.say)
			}
		})
	}
}

func TestFitNeverGrows(t *testing.T) {
	want := Size{3, 100}
	if got, advice := Fit(want, large()); got != want || len(advice) > 0 {
		t.Errorf("Fit = %+v, %q", got, advice)
	}
}

func TestSourcesHavePortsToSpare(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 0, 7_058: 0, 7_059: 2, 14_117: 3, 18_200: 3} {
		got := Sources(n, 28_232)
		if len(got) != want {
			t.Errorf("%d connections: %q, want %d", n, got, want)
		}
		for _, text := range got {
			if ip := net.ParseIP(text); !ip.IsLoopback() {
				t.Errorf("%d connections: %q is no loopback address", n, text)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	m := large()
	if got := Warnings(Size{55, 18_200}, m); len(got) > 0 {
		t.Errorf("warned of nothing: %q", got)
	}
	m.Buffers = 1 << 30
	if got := strings.Join(Warnings(Size{55, 18_200}, m), ""); !strings.Contains(got, "tcp_mem") {
		t.Errorf("no word about tcp_mem: %q", got)
	}
	m = large()
	m.Places = 262_144
	if got := strings.Join(Warnings(Size{55, 18_200}, m), ""); !strings.Contains(got, "among 7 others") || !strings.Contains(got, "thash_entries=2097152,") {
		t.Errorf("of a full table: %q", got)
	}
	if got := Warnings(Size{14, 18_200}, m); len(got) > 0 {
		t.Errorf("of a table with a place for every other socket: %q", got)
	}
}

func TestPlaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tcp_ehash_entries")
	if got, err := places(path); err != nil || got != Unlimited {
		t.Errorf("an old kernel: %d, %v", got, err)
	}
	for _, text := range []string{"262144\n", "-262144\n"} { // the sign says whose table it is
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := places(path); err != nil || got != 262_144 {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func TestReadFindsThisMachinesLimits(t *testing.T) {
	m, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if m.Memory <= 0 || m.Files <= 0 || m.AllFiles <= 0 || m.Ports <= 0 || m.Tracked <= 0 || m.Watches <= 0 || m.Processes <= 0 || m.Buffers <= 0 {
		t.Errorf("this machine: %+v", m)
	}
}

func TestSocketMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tcp_mem")
	if got, err := socketMemory(path); err != nil || got != math.MaxInt64 {
		t.Errorf("in a container: %d, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("1\t2\t3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := socketMemory(path); err != nil || got != 3*int64(os.Getpagesize()) {
		t.Errorf("three pages: %d, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := socketMemory(path); err == nil {
		t.Errorf("no such file: %d", got)
	}
}
