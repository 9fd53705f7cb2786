package procs

import (
	"strings"
	"testing"
)

func TestNicePrograms(t *testing.T) {
	for nice, want := range map[int]string{0: "0", 7: "7"} {
		// ps tells the niceness of the process that the shell has become.
		out, err := Program{Path: "/bin/sh", Nice: nice}.command("-c", "exec ps -o ni= -p $$").Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("nice %d: got %q, %v", nice, got, err)
		}
	}
}
