package imserver

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

// A fails over to B, and is master again before it has copied anything of B. Who is connected is given what is sent from then on,
// and told that something may be missing.
func TestAServerThatCopiedNothingIsBack(t *testing.T) {
	tests := []struct {
		name string
		new  bool // who sends when A is back: B never told it of its life
	}{
		{"senders that were there", false},
		{"senders that come afterwards", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := redistest.Start(t), redistest.Start(t)
			way := redistest.NewSwitch(t, a)
			n := start(t, way.URL())
			p := publisher{t, open(t, way.URL())}
			k := n.connect(true, ticket.Claims{ClientID: "ann"})
			p.inbox("1", "ann")
			k.expect("1")
			b.Do("REPLICAOF", "127.0.0.1", a.Port())
			eventually(t, "B has everything", func() bool { return b.Do("XLEN", inboxKey(p.st, "ann")) == ":1" })
			b.Do("REPLICAOF", "NO", "ONE")
			way.Turn(b)
			p.inbox("2", "ann")
			k.wait("2", func([]frame) bool { return slices.Contains(k.ids(), "2") })
			way.Turn(a)
			if tt.new {
				p.st = open(t, way.URL())
			}
			sent := 2
			var after []string
			eventually(t, "something arrives", func() bool { // what is sent before the node is there need not
				sent++
				p.inbox(fmt.Sprint(sent), "ann")
				after = k.ids()
				after = after[slices.Index(after, "2")+1:]
				return len(after) > 1
			})
			if after[0] != "gap" || !tt.new && after[1] != "3" {
				t.Errorf("ann got %q", after)
			}
		})
	}
}

// inboxKey is where a client's inbox is.
func inboxKey(st *store.Store, client string) string {
	return "im:{" + protocol.Tags(partitions)[st.Partition(client)] + "}:s:i:" + client
}

// Redis has restarted without its end, and nobody has sent anything since. Who comes back from before the end is not told that
// nothing is missing.
func TestALostEndIsNoticedBeforeAnythingIsSent(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	p := publisher{t, open(t, redis.URL())}
	k := n.connect(true, ticket.Claims{ClientID: "ann"})
	p.inbox("a", "ann")
	k.expect("a")
	had := k.frames()
	k.ws.CloseNow()
	eventually(t, "ann has left", func() bool { return n.state().Connections == 0 })
	redis.Do("SAVE")
	p.inbox("lost", "ann")
	redis.Kill()
	redis.Restart()
	var back *client
	eventually(t, "ann is back", func() bool {
		var err error
		back, _, err = tryDial(t, n.url+sign(t, ticket.Claims{ClientID: "ann"}), true)
		return err == nil
	})
	back.start(had)
	for _, f := range back.frames() {
		if f.Type == "started" && f.Recovered["inbox"] {
			t.Errorf("told that nothing is missing: %s", f.raw)
		}
	}
}

// A node is cut off for longer than messages are kept. What was sent meanwhile is told as a gap, though its stream begins anew as
// one that merely expired.
func TestWhatExpiredWhileCutOffIsToldAsAGap(t *testing.T) {
	redis := redistest.Start(t)
	way := redistest.NewSwitch(t, redis)
	const keeps = time.Second
	n := start(t, way.URL(), func(c *Config) { c.HistoryTTL = keeps })
	st, err := store.Open(context.Background(), store.Options{URL: redis.URL(), Partitions: partitions, HistoryTTL: keeps})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	p := publisher{t, st}
	k := n.connect(true, ticket.Claims{ClientID: "ann"})
	p.inbox("a", "ann")
	k.expect("a")
	way.Turn(nil)
	p.inbox("missed", "ann")
	eventually(t, "it has expired", func() bool { return redis.Do("EXISTS", inboxKey(st, "ann")) == ":0" })
	way.Turn(redis)
	eventually(t, "ready", func() bool { return n.ready() == 200 })
	p.inbox("b", "ann")
	k.expect("a", "gap", "b")
}
