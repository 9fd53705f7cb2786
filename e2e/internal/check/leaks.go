package check

import (
	"fmt"

	"github.com/imtier/imtier/e2e/internal/proc"
)

// goroutineSlack allows for requests of the admin listener and connections of the Redis client that come and go.
const goroutineSlack = 12

// Leaks compares what a node holds after all clients have left with what it held before they came.
func Leaks(before, after proc.State) (out []Violation) {
	for _, c := range []struct {
		what       string
		was, is    int
		allowAbove int
	}{
		{"connections", 0, after.Connections, 0},
		{"clients", 0, after.Clients, 0},
		{"groups", 0, after.Groups, 0},
		{"streams", before.Streams, after.Streams, 0},
		{"subscriptions", before.Partitions, after.Partitions, 0},
		{"bytes for slow clients", 0, after.QueueBytes, 0},
		{"bytes of arrivals", 0, after.Arrivals, 0},
		{"catch-ups", 0, after.CatchingUp, 0},
		{"ended connections to sign off", 0, after.Leaving, 0},
		{"goroutines", before.Goroutines, after.Goroutines, goroutineSlack},
	} {
		if c.is > c.was+c.allowAbove {
			out = append(out, Violation{Rule: Leak, Text: fmt.Sprintf("%s: %d, before %d %s", after.Node, c.is, c.was, c.what)})
		}
	}
	return out
}
