package procs

import (
	"fmt"
	"strings"
	"testing"
)

func TestNicePrograms(t *testing.T) {
	niceness := func(nice int) (n int) {
		t.Helper()
		out, err := Program{Path: "nice", Nice: nice}.command().Output() // without arguments nice tells its own
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
	if all := (Program{}).env(); all != nil {
		t.Errorf("%q, want nothing", all)
	}
	cmd := Program{Path: "env", Procs: 3}.command()
	cmd.Env = Program{Procs: 3}.env()
	out, err := cmd.Output()
	if err != nil || string(out) != "GOMAXPROCS=3\n" {
		t.Errorf("%q, %v", out, err)
	}
}
