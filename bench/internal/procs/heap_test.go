package procs

import "testing"

func TestParseHeap(t *testing.T) {
	got := parseHeap("heap profile: 1: 2 [3: 4] @ heap/1048576\n\n# runtime.MemStats\n# HeapAlloc = 100\n# HeapInuse = 150\n" +
		"# HeapIdle = 70\n# HeapReleased = 30\n# Stack = 20 / 40\n# MSpan = 5 / 6\n# MCache = 1 / 2\n# GCSys = 7\n# PauseNs = [1 2]\n")
	if want := (Heap{Live: 100, Spans: 150, Kept: 40, Stacks: 20, Tables: 13}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
