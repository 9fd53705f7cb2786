package check

import (
	"testing"

	"github.com/imtier/imtier/e2e/internal/proc"
)

func TestLeaks(t *testing.T) {
	t.Parallel()
	before := proc.State{Goroutines: 40, Streams: 1, Partitions: 1}
	if found := Leaks(before, proc.State{Goroutines: 45, Streams: 1, Partitions: 1}); len(found) != 0 {
		t.Errorf("reported %v of a clean node", found)
	}
	for _, after := range []proc.State{
		{Goroutines: 140, Streams: 1, Partitions: 1},
		{Goroutines: 40, Streams: 2, Partitions: 1},
		{Goroutines: 40, Streams: 1, Partitions: 2},
		{Goroutines: 40, Streams: 1, Partitions: 1, Connections: 1},
		{Goroutines: 40, Streams: 1, Partitions: 1, QueueBytes: 1},
		{Goroutines: 40, Streams: 1, Partitions: 1, CatchingUp: 1},
		{Goroutines: 40, Streams: 1, Partitions: 1, Leaving: 1},
	} {
		if found := Leaks(before, after); len(found) != 1 || found[0].Rule != Leak {
			t.Errorf("%+v: reported %v", after, found)
		}
	}
}
