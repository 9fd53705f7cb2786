package imserver

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

// A membership with history begins at the oldest message that is kept: for who is connected, for who comes later, and
// once for each device. Any other begins when it does.
func TestJoiningWithHistory(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	p := publisher{t, st}
	ctx := context.Background()
	join := func(o store.JoinOptions, ids ...string) {
		t.Helper()
		if _, err := st.Join(ctx, "room", ids, o); err != nil {
			t.Fatal(err)
		}
	}
	history := store.JoinOptions{History: true}

	connected := n.connect(true, ticket.Claims{ClientID: "connected"})
	raw := n.connect(false, ticket.Claims{ClientID: "raw"})
	plain := n.connect(true, ticket.Claims{ClientID: "plain"})
	p.group("m1", "room")
	p.group("m2", "room")
	join(history, "connected", "raw", "away", "unread")
	join(store.JoinOptions{}, "plain", "connected") // a member already: nothing changes
	p.group("m3", "room")
	connected.expect("m1", "m2", "m3")
	plain.expect("m3")
	raw.expect("m3")

	away := n.connect(true, ticket.Claims{ClientID: "away"})
	away.expect("m1", "m2", "m3")
	last := away.frames()[len(away.frames())-1]
	away.send(`{"type":"ack","pos":{"group:room":` + string(last.Pos) + `}}`)
	p.group("m4", "room")
	away.expect("m1", "m2", "m3", "m4")
	away.ws.CloseNow()
	eventually(t, "the acknowledgement is kept", func() bool {
		again := n.connect(true, ticket.Claims{ClientID: "away"})
		defer again.ws.CloseNow()
		p.inbox("end", "away")
		again.wait("end", func([]frame) bool { return slices.Contains(again.ids(), "end") })
		ids := slices.DeleteFunc(again.ids(), func(id string) bool { return id == "end" })
		return slices.Equal(ids, []string{"m4"})
	})
	other := n.connect(true, ticket.Claims{ClientID: "away", Device: "other"})
	other.wait("the history", func([]frame) bool { return slices.Contains(other.ids(), "m4") })

	unread := dialOnly(t, n.url+sign(t, ticket.Claims{ClientID: "unread"}))
	unread.send(`{"type":"start","pos":{"group:room":"0-0"}}`)
	unread.expect("m1", "m2", "m3", "m4")
	for _, k := range []*client{connected, away, unread} {
		for _, f := range k.frames() {
			if f.Type == "gap" || f.Type == "started" && !f.Recovered["inbox"] {
				t.Errorf("told %s", f.raw)
			}
		}
	}
}

// A client that connects while its membership is still under way gets the history as well: whoever finishes the
// membership announces it, but the connection may follow the group before it hears that.
func TestConnectingWhileJoiningWithHistory(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	p := publisher{t, st}
	p.group("m1", "room")
	p.group("m2", "room")
	for i := range 20 {
		id := fmt.Sprint("client", i)
		key := "im:{" + protocol.Tags(partitions)[st.Partition(id)] + "}:groups:" + id
		redis.Do("HSET", key, "room", "p +") // as truth.lua leaves it
		k := n.connect(true, ticket.Claims{ClientID: id})
		p.inbox("end", id)
		k.wait("end", func([]frame) bool { return slices.Contains(k.ids(), "end") })
		k.wait("the history", func([]frame) bool { return slices.Contains(k.ids(), "m2") })
	}
}
