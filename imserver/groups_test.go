package imserver

import (
	"context"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

// countsWithin is how soon a group's counts have to be right after somebody came or went. It takes a second or two, and
// a busy machine longer; who waits for the lease of a dead node takes 15 s. Measured are the counts in e2e.
const countsWithin = 10 * time.Second

func wantCounts(t *testing.T, st *store.Store, group string, members, online int) {
	t.Helper()
	begin := time.Now()
	var got store.GroupInfo
	eventually(t, "the counts are right", func() bool {
		var err error
		got, err = st.Group(context.Background(), group)
		return err == nil && got.Members == members && got.Online == online
	})
	if took := time.Since(begin); took > countsWithin {
		t.Errorf("%+v took %v", got, took)
	}
}

// Over three nodes each client counts once, however many devices it has, and a membership until offline ends with the
// last of them, wherever that is.
func TestGroupsOverSeveralNodes(t *testing.T) {
	redis := redistest.Start(t)
	nodes := []*running{start(t, redis.URL()), start(t, redis.URL()), start(t, redis.URL())}
	st := open(t, redis.URL())
	in := func(id, device string) ticket.Claims {
		return ticket.Claims{ClientID: id, Device: device, Groups: []string{"room"}, UntilOffline: true}
	}
	var anns []*client
	for i, device := range []string{"phone", "web", "web"} { // two tabs
		anns = append(anns, nodes[i].connect(true, in("ann", device)))
	}
	bob := nodes[1].connect(false, in("bob", "tv"))
	if _, err := st.Join(context.Background(), "room", []string{"carl"}, store.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	wantCounts(t, st, "room", 3, 2)
	carl := nodes[2].connect(true, ticket.Claims{ClientID: "carl"})
	wantCounts(t, st, "room", 3, 3)
	for _, k := range anns[:2] {
		k.ws.CloseNow()
	}
	eventually(t, "two tabs are signed off", func() bool {
		c, err := st.Client(context.Background(), "ann")
		return err == nil && len(c.Connections) == 1
	})
	publisher{t, st}.group("one tab is left", "room")
	anns[2].expect("one tab is left")
	bob.expect("one tab is left")
	wantCounts(t, st, "room", 3, 3)
	anns[2].ws.CloseNow()
	wantCounts(t, st, "room", 2, 2)
	bob.ws.CloseNow()
	carl.ws.CloseNow()
	wantCounts(t, st, "room", 1, 0) // carl joined for good
}

// When a node has died its clients are online until its lease is over, though counts leave them out sooner; then its groups
// empty themselves, but not for who has a device elsewhere.
func TestGroupsAfterANodeDied(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	dead := store.Node{ID: "dead", URL: "ws://dead/ws", Started: time.Now()}
	if _, err := st.RenewNode(context.Background(), dead); err != nil {
		t.Fatal(err)
	}
	redis.Do("PERSIST", "im:node:"+dead.ID) // the lease is over when the test says so
	in := func(id string) store.Session {
		return store.Session{
			JTI: id + "-jti", JTITTL: time.Minute, ClientID: id, ConnID: protocol.NewConnID(st.Partition(id)), Node: dead.ID, Device: "phone",
			Groups: []string{"room"}, UntilOffline: true,
		}
	}
	for _, id := range []string{"ann", "bob"} {
		if _, err := st.Connect(context.Background(), in(id)); err != nil {
			t.Fatal(err)
		}
		if _, err := st.SyncGroups(context.Background(), id, []store.Membership{{Group: "room"}}); err != nil {
			t.Fatal(err)
		}
	}
	k := n.connect(true, ticket.Claims{ClientID: "bob", Device: "web"})
	wantCounts(t, st, "room", 2, 1)
	if on, err := st.Online(context.Background(), []string{"ann"}); err != nil || !on["ann"] {
		t.Errorf("ann is offline before the lease is over: %v", err)
	}
	if err := st.RemoveNode(context.Background(), dead.ID); err != nil { // as when the lease has run out
		t.Fatal(err)
	}
	eventually(t, "ann is offline", func() bool {
		on, err := st.Online(context.Background(), []string{"ann"})
		return err == nil && !on["ann"]
	})
	wantCounts(t, st, "room", 1, 1)
	publisher{t, st}.group("still a member", "room")
	k.expect("still a member")
}
