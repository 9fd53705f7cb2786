package procs

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestNicePrograms(t *testing.T) {
	niceness := func(nice int) (n int) {
		t.Helper()
		out, err := Program{Path: "nice", Nice: nice}.command(os.Environ()).Output() // without arguments nice tells its own
		if err == nil {
			_, err = fmt.Sscan(strings.TrimSpace(string(out)), &n)
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if ours, theirs := niceness(0), niceness(7); theirs != min(ours+7, 19) {
		t.Errorf("niceness %d, of a program that lets others go first %d", ours, theirs)
	}
}

func TestProcessorsOfPrograms(t *testing.T) {
	for procs, want := range map[int]string{0: "A=B\n", 3: "A=B\nGOMAXPROCS=3\n"} {
		out, err := Program{Path: "env", Procs: procs}.command([]string{"A=B"}).Output()
		if err != nil || string(out) != want {
			t.Errorf("%d: %q, %v", procs, out, err)
		}
	}
}
