package imserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

// Each message once and in order, while the subscription is cut again and again; a group joined meanwhile too.
func TestSubscriptionIsCut(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	p := publisher{t, st}
	k := n.connect(true, ticket.Claims{ClientID: "ann", Groups: []string{"old"}})
	raw := n.connect(false, ticket.Claims{ClientID: "bob"})
	var want []string
	for i := range 300 {
		if i%60 == 30 {
			redis.Do("CLIENT", "KILL", "TYPE", "pubsub")
		}
		id := fmt.Sprint("m", i)
		want = append(want, id)
		p.inbox(id, "ann", "bob")
		if i == 151 {
			if _, err := st.Join(context.Background(), "new", []string{"ann"}, store.JoinOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := st.Leave(context.Background(), "old", []string{"ann"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	inbox := func() (ids []string) {
		for _, f := range k.frames() {
			if f.Stream == "inbox" {
				ids = append(ids, f.ID)
			}
		}
		return ids
	}
	k.wait("all messages", func([]frame) bool { return len(inbox()) >= len(want) })
	if got := inbox(); !slices.Equal(got, want) {
		t.Errorf("got %d messages, want %d in order", len(got), len(want))
	}
	raw.expect(want...)
	k.wait("joined and left", func(all []frame) bool {
		return slices.ContainsFunc(all, func(f frame) bool { return f.Type == "joined" && f.Group == "new" }) &&
			slices.ContainsFunc(all, func(f frame) bool { return f.Type == "left" && f.Group == "old" })
	})
	p.group("to the new group", "new")
	k.wait("the group's message", func([]frame) bool { return slices.Contains(k.ids(), "to the new group") })
}

func TestRedisRestarts(t *testing.T) {
	redis := redistest.Start(t, redistest.AOF())
	n := start(t, redis.URL())
	p := publisher{t, open(t, redis.URL())}
	k := n.connect(true, ticket.Claims{ClientID: "ann", Groups: []string{"chess"}})
	p.inbox("a", "ann")
	k.expect("a")
	redis.Kill()
	eventually(t, "not ready", func() bool { return n.ready() == 503 })
	redis.Restart()
	eventually(t, "ready", func() bool { return n.ready() == 200 })
	p.inbox("b", "ann")
	p.group("c", "chess")
	has := func(id string) bool { return slices.Contains(k.ids(), id) }
	k.wait("the messages after", func([]frame) bool { return has("b") && has("c") })
	select {
	case <-k.done:
		t.Errorf("the socket was closed: %v", k.err)
	default:
	}
	if n := n.state().Connections; n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestStopping(t *testing.T) {
	redis := redistest.Start(t)
	n, other := start(t, redis.URL()), start(t, redis.URL())
	st := open(t, redis.URL())
	ctx := context.Background()
	var ks []*client
	for i := range 30 {
		ks = append(ks, n.connect(i%2 == 0, ticket.Claims{ClientID: fmt.Sprint("client", i)}))
	}
	stays := other.connect(true, ticket.Claims{ClientID: "stays"})
	name := n.state().Node
	if err := n.stop(); err != nil {
		t.Error(err)
	}
	for _, k := range ks {
		k.expectClose(4000)
	}
	nodes, err := st.Nodes(ctx)
	if err != nil || len(nodes) != 1 || nodes[0].ID == name {
		t.Errorf("registered after the stop: %v %v", nodes, err)
	}
	eventually(t, "everybody is offline", func() bool {
		ids, _, err := st.OnlineClients(ctx, "", 100)
		return err == nil && slices.Equal(ids, []string{"stays"})
	})
	publisher{t, st}.inbox("hello", "stays")
	stays.expect("hello")
}

// Nobody is sent to a node that has closed its port, whoever keeps it waiting.
func TestStoppingIsToldAtOnce(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	u, err := url.Parse(n.url)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := slow.Write([]byte("G")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the request is under way", func() bool {
		stacks := make([]byte, 1<<20)
		return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("entrance.(*Server).serve("))
	})
	ended := make(chan error, 1)
	go func() { ended <- n.stop() }()
	eventually(t, "the node is not offered", func() bool {
		nodes, err := st.Nodes(context.Background())
		return err == nil && len(nodes) == 1 && nodes[0].Draining
	})
	if err := slow.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("only when the request was over: %v", err)
	}
	slow.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestDrainOnRequest(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	k := n.connect(true, ticket.Claims{ClientID: "ann"})
	if err := st.DrainNode(context.Background(), n.state().Node); err != nil {
		t.Fatal(err)
	}
	k.expectClose(4000)
	if a := handshake(t, n.url+sign(t, ticket.Claims{ClientID: "bob"}), nil); a.code != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("a draining node answers %d", a.code)
	}
	eventually(t, "unready and not offered", func() bool {
		live, err := st.LiveNodes(context.Background())
		return n.ready() == 503 && err == nil && len(live) == 0
	})
}

// Redis was away for longer than a lease: nobody has claimed the node, and it takes its lease again. Its clients have been
// connected all the time, and that is what everybody is told. What Redis lost of them is registered again, and what it has too
// much is signed off.
func TestALeaseThatRanOut(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	ctx := context.Background()
	k := n.connect(true, ticket.Claims{ClientID: "ann"})
	n.connect(true, ticket.Claims{ClientID: "lost"})
	name := n.state().Node
	gone := store.Session{
		JTI: "jti", JTITTL: time.Minute, ClientID: "gone", ConnID: protocol.NewConnID(st.Partition("gone")), Node: name, Device: "d",
	}
	if _, err := st.Connect(ctx, gone); err != nil { // as if Redis had forgotten that it was signed off
		t.Fatal(err)
	}
	pos, err := st.EventsNow(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tag := "im:{" + protocol.Tags(partitions)[st.Partition("lost")] + "}:"
	redis.Do("DEL", tag+"conns:lost")
	redis.Do("DEL", tag+"node:"+name)
	redis.Do("DEL", "im:{all}:janitor") // it gives nodes time after an outage
	redis.Do("DEL", "im:node:"+name)
	eventually(t, "what is registered is what is here", func() bool {
		lost, err1 := st.Client(ctx, "lost")
		gone, err2 := st.Client(ctx, "gone")
		return err1 == nil && err2 == nil && len(lost.Connections) == 1 && lost.Connections[0].Node == name && len(gone.Connections) == 0
	})
	eventually(t, "who is gone is offline", func() bool {
		on, err := st.Online(ctx, []string{"gone"})
		return err == nil && !on["gone"]
	})
	if now := n.state().Node; now != name {
		t.Errorf("the node took another name: %s, was %s", now, name)
	}
	page, err := st.EventsAfter(ctx, pos, store.EventsOfAll)
	if err != nil || page.More {
		t.Fatal(page.More, err)
	}
	for _, e := range page.Events {
		if e.Type == store.EventOffline && e.ClientID != "gone" {
			t.Errorf("%s was reported offline", e.ClientID)
		}
	}
	publisher{t, st}.inbox("hello", "ann")
	k.expect("hello")
}

// A node was struck off by somebody that made no claim, and has its lease again. It finds out with the next client, who may come
// at once.
func TestANodeThatWasStruckOffLetsClientsInAgain(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	k := n.connect(true, ticket.Claims{ClientID: "ann"})
	name := n.state().Node
	for _, tag := range protocol.Tags(partitions) {
		redis.Do("SET", "im:{"+tag+"}:struck:"+name, "1")
	}
	n.connect(true, ticket.Claims{ClientID: "bob"})
	st := open(t, redis.URL())
	eventually(t, "the first connection is registered under the new name", func() bool {
		c, err := st.Client(context.Background(), "ann")
		return err == nil && len(c.Connections) == 1 && c.Connections[0].Node != name && c.Connections[0].Node == n.state().Node
	})
	publisher{t, st}.inbox("hello", "ann")
	k.expect("hello")
}

// A node that was paused finds that others have claimed it: they have signed its connections off, and may still be at it. It
// registers them again, under another name.
func TestALostLease(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	ctx := context.Background()
	k := n.connect(true, ticket.Claims{ClientID: "ann", Device: "phone", Meta: []byte(`{"name":"Ann"}`)})
	old := n.state().Node
	if err := st.RemoveNode(ctx, old); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new name", func() bool { return n.state().Node != old })
	eventually(t, "the connection is registered under it", func() bool {
		c, err := st.Client(ctx, "ann")
		return err == nil && len(c.Connections) == 1 && c.Connections[0].Node == n.state().Node && c.Connections[0].Device == "phone"
	})
	// The old name's connections are reaped within a janitor's rounds; ann must stay.
	eventually(t, "the old name is cleared away", func() bool { return redis.Do("SISMEMBER", "im:nodes", old) == ":0" })
	if on, err := st.Online(ctx, []string{"ann"}); err != nil || !on["ann"] {
		t.Errorf("online: %v %v", on, err)
	}
	publisher{t, st}.inbox("hello", "ann")
	k.expect("hello")
	k.ws.CloseNow()
	eventually(t, "ann is offline", func() bool {
		on, err := st.Online(ctx, []string{"ann"})
		return err == nil && !on["ann"]
	})
}
