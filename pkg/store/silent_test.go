package store

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imtier/imtier/pkg/store/redistest"
)

// unsynced are memberships that are to be completed.
func unsynced(groups ...string) (all []Membership) {
	for _, g := range groups {
		all = append(all, Membership{Group: g})
	}
	return all
}

// on registers a connection of a client on a node, in a group for good.
func on(t *testing.T, s *Store, node, client string) Session {
	t.Helper()
	se := session(s, client)
	se.Node, se.Groups = node, []string{"room"}
	connect(t, s, se, AnyDevice)
	_, err := s.SyncGroups(ctxb, client, unsynced(se.Groups...))
	must(t, err)
	return se
}

// renew makes a node one that renews all the time, until silence.
func renew(t *testing.T, s *Store, node string) {
	t.Helper()
	_, err := s.RenewNode(ctxb, Node{ID: node})
	must(t, err)
	renewedAt(t, s, node, time.Now().Add(time.Hour))
}

// silence makes a node's last renewal one of long ago.
func silence(t *testing.T, s *Store, node string) {
	t.Helper()
	renewedAt(t, s, node, time.Now().Add(-2*silentAfter))
}

func renewedAt(t *testing.T, s *Store, node string, at time.Time) {
	t.Helper()
	ms := strconv.FormatInt(at.UnixMilli(), 10)
	must(t, s.do(ctxb, s.client.B().Hset().Key(s.keys.node(node)).FieldValue().FieldValue("renewed", ms).Build()).Error())
	must(t, s.do(ctxb, s.client.B().Persist().Key(s.keys.node(node)).Build()).Error()) // however long the test takes
}

func wantOnline(t *testing.T, s *Store, want int) {
	t.Helper()
	g, err := s.Group(ctxb, "room")
	must(t, err)
	wantEqual(t, "group", g, GroupInfo{Group: "room", Members: 4, Online: want})
}

// Whoever was connected to a dead node only is not counted; that is no word about presence, which waits for the lease.
func TestCountsLeaveOutWhoIsOnDeadNodes(t *testing.T) {
	for _, c := range []struct {
		name string
		die  func(*testing.T, *Store)
	}{
		{"it renews no more", func(t *testing.T, s *Store) { silence(t, s, "b") }},
		{"its lease is over", func(t *testing.T, s *Store) { must(t, s.RemoveNode(ctxb, "b")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			onAll(t, func(t *testing.T, s *Store) {
				renew(t, s, "a")
				renew(t, s, "b")
				on(t, s, "b", "ann")
				on(t, s, "b", "bob")
				on(t, s, "a", "bob")
				on(t, s, "a", "carl")
				disconnect(t, s, on(t, s, "b", "dora")) // in her grace
				wantOnline(t, s, 4)

				c.die(t, s)
				wantOnline(t, s, 3)
				members, _, err := s.Members(ctxb, "room", "", 10)
				must(t, err)
				wantEqual(t, "first member", members[0], Member{"ann", true})
				quickest := time.Hour // of some: any one may find a busy machine
				for range 20 {
					began := time.Now()
					wantOnline(t, s, 3)
					if quickest = min(quickest, time.Since(began)); quickest < silentStill {
						break
					}
				}
				if quickest >= silentStill {
					t.Errorf("it looks twice for a node that it knows: %v", quickest)
				}
				renew(t, s, "b") // it was slow
				wantOnline(t, s, 4)
			})
		})
	}
}

// A client that has just closed its last connection is in its grace.
func TestNoConnectionIsOnNoSilentNode(t *testing.T) {
	if (onSilent{nodes: map[string]bool{"a": true}}).all(nil) {
		t.Error("it counts as lost with a node")
	}
}

// Neither a node nor a Redis that stood still for a moment makes anybody seem dead.
func TestCountsDoNotFlap(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	for _, id := range []string{"ann", "bob", "carl", "dora"} {
		on(t, s, "a", id)
	}
	for rounds := 0; rounds < 3; {
		renew(t, s, "a")
		silence(t, s, "a")
		began := time.Now()
		renewed := make(chan time.Duration, 1)
		time.AfterFunc(silentStill/4, func() {
			_, _ = s.RenewNode(ctxb, Node{ID: "a"})
			renewed <- time.Since(began)
		})
		g, err := s.Group(ctxb, "room")
		must(t, err)
		if <-renewed >= silentStill {
			continue // the machine was too busy for this to be a moment
		}
		wantEqual(t, "group", g, GroupInfo{Group: "room", Members: 4, Online: 4})
		rounds++
	}
}

func TestSuspectsAreLookedAtTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q suspects
		const now, old, older = int64(100_000), int64(98_500), int64(98_000)
		look := func(name string, last map[string]int64, wantSilent []string, wantWait time.Duration) {
			t.Helper()
			silent, wait := q.look(last, now)
			if len(silent) != len(wantSilent) || wait != wantWait {
				t.Errorf("%s: silent %v, wait %v; want %v, %v", name, silent, wait, wantSilent, wantWait)
			}
			for _, id := range wantSilent {
				if !silent[id] {
					t.Errorf("%s: %s is not silent", name, id)
				}
			}
		}
		look("all well", map[string]int64{"a": now, "b": now - silentAfter.Milliseconds() + 1}, nil, 0)
		look("first sight", map[string]int64{"a": now, "b": older, "c": older}, nil, silentStill)
		<-time.After(silentStill / 2)
		look("too soon, and a new suspect", map[string]int64{"b": older, "c": older, "d": 0}, nil, silentStill)
		<-time.After(silentStill / 2)
		look("one has renewed, if late, and one has lost its lease", map[string]int64{"b": old, "c": 0, "d": 0}, []string{"c"}, silentStill)
		<-time.After(silentStill)
		look("all", map[string]int64{"a": now, "b": old, "c": 0, "d": 0}, []string{"b", "c", "d"}, 0)
		look("well again", map[string]int64{"b": now, "c": now}, nil, 0)
		look("and suspect again", map[string]int64{"b": old}, nil, silentStill)
	})
}
