package imserver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

// told is what a client got of a group's messages, and whether it was told that something is missing.
func (k *client) told(group string) (ids []string, gap bool) {
	for _, f := range k.frames() {
		switch {
		case f.Stream != "group:"+group:
		case f.Type == "gap":
			gap = true
		default:
			ids = append(ids, f.ID)
		}
	}
	return ids, gap
}

func (k *client) waitLeft(group string) {
	k.t.Helper()
	k.wait("that it left "+group, func(all []frame) bool {
		return slices.ContainsFunc(all, func(f frame) bool { return f.Type == "left" && f.Group == group })
	})
}

// What a group is sent while a client is its member is the client's, however short that was.
func TestMembersForAMoment(t *testing.T) {
	redis := redistest.Start(t)
	n, st := start(t, redis.URL()), open(t, redis.URL())
	p := publisher{t, st}
	k := n.connect(true, ticket.Claims{ClientID: "ann"})
	ctx := context.Background()
	for i := range 100 {
		g := fmt.Sprint("g", i)
		if _, err := st.Join(ctx, g, []string{"ann"}, store.JoinOptions{}); err != nil {
			t.Fatal(err)
		}
		p.group("welcome", g)
		if _, err := st.Leave(ctx, g, []string{"ann"}); err != nil {
			t.Fatal(err)
		}
		p.group("about ann", g)
	}
	for i := range 100 {
		g := fmt.Sprint("g", i)
		k.waitLeft(g)
		if ids, gap := k.told(g); !gap && !slices.Equal(ids, []string{"welcome"}) || slices.Contains(ids, "about ann") {
			t.Errorf("of %s ann got %q", g, ids)
		}
	}
}

// The same while the subscription is cut.
func TestSentBeforeALeaveWhileInterrupted(t *testing.T) {
	redis := redistest.Start(t)
	n, st := start(t, redis.URL()), open(t, redis.URL())
	p := publisher{t, st}
	k := n.connect(true, ticket.Claims{ClientID: "ann", Groups: []string{"chess"}})
	other := n.connect(true, ticket.Claims{ClientID: "bob", Groups: []string{"chess"}})
	p.group("a", "chess")
	k.expect("a")
	redis.Do("CLIENT", "KILL", "TYPE", "pubsub")
	p.group("goodbye", "chess")
	if _, err := st.Leave(context.Background(), "chess", []string{"ann"}); err != nil {
		t.Fatal(err)
	}
	p.group("about ann", "chess")
	other.expect("a", "goodbye", "about ann")
	k.waitLeft("chess")
	if ids, gap := k.told("chess"); !gap && !slices.Contains(ids, "goodbye") || slices.Contains(ids, "about ann") {
		t.Errorf("ann got %q, gap %v", ids, gap)
	}
}

// The subscription is late, and the node begins to follow groups that their member has left in Redis by then.
func TestNewsOfJoinsAndLeavesComeLate(t *testing.T) {
	redis := redistest.Start(t)
	news := newLateNews(t, redis.Addr)
	n, st := start(t, news.url()), open(t, redis.URL())
	p := publisher{t, st}
	ctx := context.Background()
	k := n.connect(true, ticket.Claims{ClientID: "ann"})
	var groups []string
	for i := range 100 {
		groups = append(groups, fmt.Sprint("g", i))
	}
	news.hold(true)
	if _, err := st.JoinGroups(ctx, "ann", groups, store.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		p.group("welcome", g)
	}
	if _, err := st.LeaveGroups(ctx, "ann", groups); err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		p.group("about ann", g)
	}
	news.hold(false)
	for _, g := range groups {
		k.waitLeft(g)
		if ids, gap := k.told(g); !gap && !slices.Equal(ids, []string{"welcome"}) || slices.Contains(ids, "about ann") {
			t.Errorf("of %s ann got %q, gap %v", g, ids, gap)
		}
	}
}

// A publisher of an earlier version does not tell where a leave ends. The node looks whether the client is a member.
func TestALeaveWhoseEndIsNotTold(t *testing.T) {
	redis := redistest.Start(t)
	n, st := start(t, redis.URL()), open(t, redis.URL())
	p := publisher{t, st}
	k := n.connect(true, ticket.Claims{ClientID: "ann", Groups: []string{"chess", "go"}})
	channel := st.ClientChannel(st.Partition("ann"))
	if n := redis.Do("HDEL", strings.TrimSuffix(channel, "c")+"groups:ann", "chess"); !strings.HasPrefix(n, ":1") {
		t.Fatalf("the membership is not there: %q", n)
	}
	for _, g := range []string{"go", "chess"} {
		redis.Do("PUBLISH", channel, "L\nann\n"+g+"\n")
	}
	k.waitLeft("chess")
	p.group("about ann", "chess")
	p.group("for ann", "go")
	k.expect("for ann")
}
