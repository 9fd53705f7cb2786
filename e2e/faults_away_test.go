package e2e

import (
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/e2e/internal/rig"
)

// While a client is away a node is killed, Redis is killed and comes back with its append-only file, and all nodes are
// restarted one after the other. What was sent in each of these phases has to be there when the client comes back, in whatever
// way it does; Load.Check looks at all the other messages.
func TestFaultsAway(t *testing.T) {
	for _, way := range []ledger.Way{ledger.ByPositions, ledger.BySession, ledger.ByCursor, ledger.ByNothing} {
		t.Run(string(way), func(t *testing.T) { away(t, way) })
	}
}

func away(t *testing.T, way ledger.Way) {
	l := startLoad(t, rig.LoadOptions{Clients: 16, Groups: 2, Rate: 50, Ways: []ledger.Way{way}})
	gone := l.Clients[len(l.Clients)-1]
	before := gone.Starts()
	back := gone.Away()
	sent := sendTo(l, gone)
	l.Nodes[0].Kill()
	sent = append(sent, sendTo(l, gone)...)
	if err := l.Nodes[0].Start(); err != nil {
		t.Fatal(err)
	}
	l.BounceRedis(length(5*time.Second, time.Second))
	sent = append(sent, sendTo(l, gone)...)
	l.WaitReady()
	for i, n := range l.Nodes {
		if code, _, err := n.Stop(t.Context()); code != 0 || err != nil {
			t.Errorf("node %d ended with %d, %v", i+1, code, err)
		}
		sent = append(sent, sendTo(l, gone)...)
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		l.WaitReady()
	}
	sent = append(sent, sendTo(l, gone)...)
	if gone.Starts() != before {
		t.Fatalf("%s was not away", gone.ID())
	}
	back()
	l.WaitStarted(gone)
	caughtUp(l)
	if got := lastWay(gone); got != way {
		t.Errorf("it came back by %s", got)
	}
	for _, m := range sent {
		want := 1
		if way == ledger.ByNothing && m.Kind != ledger.Direct {
			want = 0 // a new device begins its groups and the broadcasts with what comes
		}
		if n := rig.Count(gone, m.Key); n != want {
			t.Errorf("%s of kind %s came %d times, want %d", m.Key, m.Kind, n, want)
		}
	}
	l.Check()
}

// sendTo sends a client one message of each kind, and returns them.
func sendTo(l *rig.Load, c *client.Client) (all []ledger.Send) {
	for _, m := range []ledger.Send{
		{Kind: ledger.Direct, To: []string{c.ID()}},
		{Kind: ledger.Group, To: []string{c.Ledger().Groups[0]}},
		{Kind: ledger.Broadcast},
	} {
		m.Key = l.Send(m)
		all = append(all, m)
	}
	return all
}

func lastWay(c *client.Client) (way ledger.Way) {
	for _, e := range c.Ledger().Entries() {
		if e.What == ledger.Opened {
			way = e.Way
		}
	}
	return way
}
