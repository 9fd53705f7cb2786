package imserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

// closeReason waits for the close and returns its text.
func (k *client) closeReason(code int) string {
	k.t.Helper()
	k.expectClose(code)
	var ce websocket.CloseError
	if errors.As(k.err, &ce) {
		return ce.Reason
	}
	return ""
}

// Of two that connect at the same moment on two nodes exactly what the policy allows is left, on both, and the loser is
// told who won.
func TestDevicePolicyAcrossNodes(t *testing.T) {
	redis := redistest.Start(t)
	nodes := []*running{start(t, redis.URL()), start(t, redis.URL())}
	st := open(t, redis.URL())
	for round := range 8 {
		id := "ann" + string(rune('0'+round))
		devices := []string{"phone", "web"}
		urls := make([]string, 2)
		for i, d := range devices {
			urls[i] = nodes[i].url + sign(t, ticket.Claims{ClientID: id, Device: d, Policy: "one"})
		}
		clients := make([]*client, 2)
		var wg sync.WaitGroup
		for i, url := range urls {
			wg.Go(func() { clients[i] = dialOnly(t, url) })
		}
		wg.Wait()
		info, err := st.Client(context.Background(), id)
		if err != nil || len(info.Connections) != 1 {
			t.Fatalf("registered: %+v, %v", info, err)
		}
		winner := slices.Index(devices, info.Connections[0].Device)
		if got, want := clients[1-winner].closeReason(4501), "replaced by another device: "+devices[winner]; got != want {
			t.Errorf("the loser was told %q, want %q", got, want)
		}
		clients[winner].start(nil)
		publisher{t, st}.inbox("hello", id)
		clients[winner].expect("hello")
		eventually(t, "nobody else is held", func() bool {
			return nodes[0].state().Clients+nodes[1].state().Clients <= round+1
		})
	}
}

// The URL's policy goes before the node's, for its successors too.
func TestDevicePolicyOfTheURL(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL(), func(c *Config) { c.DevicePolicy = "one" })
	first := n.connect(true, ticket.Claims{ClientID: "ann", Device: "phone", Policy: "any"})
	second := n.connect(true, ticket.Claims{ClientID: "ann", Device: "web", Policy: "one-per-device"})
	third := n.connect(true, ticket.Claims{ClientID: "ann", Device: "web", Policy: "max:2"})
	first.closeReason(4501)
	publisher{t, open(t, redis.URL())}.inbox("hello", "ann")
	second.expect("hello")
	third.expect("hello")
	next := dial(t, n.url+third.session(), true)
	third.expectClose(protocol.ReasonHandedOver.Code())
	if s := sessionOf(t, "?"+strings.TrimPrefix(next.session(), "?")); s.Policy != "max:2" {
		t.Errorf("the successor's session is %+v", s)
	}
	n.connect(true, ticket.Claims{ClientID: "ann"})
	second.expectClose(4501)
	next.expectClose(4501)
	if code := refused(t, n.url+sign(t, ticket.Claims{ClientID: "ann", Policy: "two"})); code != http.StatusUnauthorized {
		t.Errorf("an unknown policy: %d", code)
	}
}

func TestRevocationReachesEveryNode(t *testing.T) {
	redis := redistest.Start(t)
	nodes := []*running{start(t, redis.URL()), start(t, redis.URL()), start(t, redis.URL())}
	st := open(t, redis.URL())
	var anns []*client
	for i, n := range nodes {
		anns = append(anns, n.connect(i%2 == 0, ticket.Claims{ClientID: "ann", Device: string(rune('a' + i))}))
	}
	bob := nodes[0].connect(true, ticket.Claims{ClientID: "bob"})
	session := anns[0].session()
	pending := sign(t, ticket.Claims{ClientID: "ann"})
	if err := st.Revoke(context.Background(), "ann", "", time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, k := range anns {
		k.expectClose(4502)
	}
	quickest := time.Hour // of some: any one may find a busy machine
	for i := 0; i < 5 && quickest > time.Second; i++ {
		id := fmt.Sprint("eve", i)
		k := nodes[i%len(nodes)].connect(true, ticket.Claims{ClientID: id})
		begin := time.Now()
		if err := st.Revoke(context.Background(), id, "", time.Hour); err != nil {
			t.Fatal(err)
		}
		k.expectClose(4502)
		quickest = min(quickest, time.Since(begin))
	}
	if quickest > time.Second {
		t.Errorf("it took %v", quickest)
	}
	for _, q := range []string{pending, session, sign(t, ticket.Claims{ClientID: "ann"})} {
		if a := handshake(t, nodes[1].url+q, nil); a.code != http.StatusForbidden || a.problem.Code != "revoked" {
			t.Errorf("refused with %d %s", a.code, a.problem.Code)
		}
	}
	if err := st.Revoke(context.Background(), "ann", "", 0); err != nil {
		t.Fatal(err)
	}
	dial(t, nodes[1].url+pending, true) // a refusal has not used it up
	publisher{t, st}.inbox("hello", "bob")
	bob.expect("hello")
}

// By the name of a URL: also what has been resumed since, whoever the client is.
func TestRevocationOfAURL(t *testing.T) {
	redis := redistest.Start(t)
	one, two := start(t, redis.URL()), start(t, redis.URL())
	st := open(t, redis.URL())
	first := one.connect(true, ticket.Claims{ClientID: "ann", JTI: "stolen"})
	next := dial(t, two.url+first.session(), true)
	first.expectClose(protocol.ReasonHandedOver.Code())
	other := two.connect(true, ticket.Claims{ClientID: "ann"})
	if err := st.Revoke(context.Background(), "", "stolen", time.Hour); err != nil {
		t.Fatal(err)
	}
	next.expectClose(4502)
	if a := handshake(t, one.url+next.session(), nil); a.code != http.StatusForbidden {
		t.Errorf("its session is answered %d", a.code)
	}
	publisher{t, st}.inbox("hello", "ann")
	other.expect("hello")
}

// deafen keeps the nodes from hearing anything, until the returned function is called: they stay connected to Redis, but
// may not subscribe. What the returned store does, works.
func deafen(t *testing.T, redis *redistest.Server) (st *store.Store, hear func()) {
	t.Helper()
	do := func(args ...string) {
		if got := redis.Do(args...); !strings.HasPrefix(got, "+OK") {
			t.Fatalf("%v: %s", args, got)
		}
	}
	do("ACL", "SETUSER", "operator", "on", ">pw", "~*", "&*", "+@all")
	st = open(t, strings.Replace(redis.URL(), "redis://", "redis://operator:pw@", 1))
	do("ACL", "SETUSER", "default", "resetchannels")
	return st, func() { do("ACL", "SETUSER", "default", "allchannels") }
}

// What was ordered while a node could not hear it is done when it hears again; Redis that lost a connection gets it back.
func TestOrdersThatANodeCouldNotHear(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	ctx := context.Background()
	kicked := n.connect(true, ticket.Claims{ClientID: "kicked"})
	revoked := n.connect(true, ticket.Claims{ClientID: "revoked"})
	url := n.connect(true, ticket.Claims{ClientID: "url", JTI: "stolen"})
	replaced := n.connect(true, ticket.Claims{ClientID: "replaced"})
	moved := n.connect(true, ticket.Claims{ClientID: "moved"})
	stays := n.connect(true, ticket.Claims{ClientID: "stays"})
	lost := n.connect(true, ticket.Claims{ClientID: "lost"})

	st, hear := deafen(t, redis)
	eventually(t, "it hears nothing", func() bool { return !n.state().Subscribed })
	if _, err := st.Kick(ctx, "kicked", "", "", 4500); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]string{{"revoked", ""}, {"", "stolen"}} {
		if err := st.Revoke(ctx, r[0], r[1], time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := func(id string, change func(*store.Session)) {
		se := store.Session{
			JTI: protocol.NewID(), JTITTL: time.Minute, ClientID: id, ConnID: protocol.NewConnID(st.Partition(id)),
			Node: "elsewhere", Device: "phone", Since: time.Now(),
		}
		change(&se)
		if _, err := st.Connect(ctx, se); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere("replaced", func(se *store.Session) { se.Policy = store.OneDevice })
	elsewhere("moved", func(se *store.Session) { se.Resume = moved.frames()[0].ConnID })
	redis.Do("DEL", "im:{"+protocol.Tags(partitions)[st.Partition("lost")]+"}:conns:lost")
	if c, err := st.Client(ctx, "lost"); err != nil || len(c.Connections) != 0 {
		t.Fatalf("%+v %v", c, err)
	}
	hear()
	kicked.expectClose(4500)
	revoked.expectClose(4502)
	url.expectClose(4502)
	if got := replaced.closeReason(4501); !strings.HasSuffix(got, ": phone") {
		t.Errorf("told %q", got)
	}
	moved.expectClose(4004)
	eventually(t, "what was lost is registered again", func() bool {
		c, err := st.Client(ctx, "lost")
		return err == nil && len(c.Connections) == 1
	})
	publisher{t, st}.inbox("hello", "stays", "lost")
	stays.expect("hello")
	lost.expect("hello")
}

// A node that was claimed registers what is open again, but not what was ended meanwhile.
func TestALostLeaseDoesNotBringBackWhatWasEnded(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	ctx := context.Background()
	kicked := n.connect(true, ticket.Claims{ClientID: "kicked"})
	revoked := n.connect(true, ticket.Claims{ClientID: "revoked"})
	stays := n.connect(true, ticket.Claims{ClientID: "stays"})
	old := n.state().Node
	st, hear := deafen(t, redis)
	eventually(t, "it hears nothing", func() bool { return !n.state().Subscribed })
	if _, err := st.Kick(ctx, "kicked", "", "", 4500); err != nil {
		t.Fatal(err)
	}
	if err := st.Revoke(ctx, "revoked", "", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := st.RemoveNode(ctx, old); err != nil {
		t.Fatal(err)
	}
	kicked.expectClose(4500) // still deaf: it reads this from the register
	revoked.expectClose(4502)
	hear()
	eventually(t, "only one is left", func() bool {
		on, err := st.Online(ctx, []string{"kicked", "revoked", "stays"})
		return err == nil && !on["kicked"] && !on["revoked"] && on["stays"]
	})
	publisher{t, st}.inbox("hello", "stays")
	stays.expect("hello")
}
