package store

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/store/redistest"
)

// expireLease ends a node's lease as if it had not renewed for long enough.
func expireLease(t testing.TB, s *Store, id string) {
	t.Helper()
	must(t, s.do(ctxb, s.client.B().Del().Key(s.keys.node(id)).Build()).Error())
}

func nodeNames(nodes []Node) []string {
	ids := []string{}
	for _, n := range nodes {
		ids = append(ids, n.ID)
	}
	return ids
}

func TestLease(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		started := time.UnixMilli(1700000000000)
		b := Node{ID: "b", URL: "ws://b/ws", Started: started, Conns: 7}
		for _, n := range []Node{b, {ID: "a", URL: "ws://a/ws", Started: started}} {
			first, err := s.RenewNode(ctxb, n)
			if err != nil || first.Claimed || first.Drain || time.Since(first.Taken).Abs() > time.Minute {
				t.Fatalf("taken: %+v, %v", first, err)
			}
			if st, err := s.RenewNode(ctxb, n); err != nil || st != first {
				t.Fatalf("renewed: %+v, %v, want %+v", st, err, first)
			}
		}
		nodes, err := s.Nodes(ctxb)
		must(t, err)
		wantEqual(t, "nodes", nodeNames(nodes), []string{"a", "b"})
		n := nodes[1]
		if n.URL != b.URL || n.Conns != 7 || !n.Started.Equal(started) || n.Draining || time.Since(n.Renewed).Abs() > time.Minute {
			t.Fatalf("node: %+v", n)
		}
		ttl, err := s.do(ctxb, s.client.B().Pttl().Key(s.keys.node("b")).Build()).AsInt64()
		must(t, err)
		if left := time.Duration(ttl) * time.Millisecond; left > leaseTTL || left < leaseTTL-5*time.Second {
			t.Fatalf("the lease lasts %v", left)
		}

		must(t, s.DrainNode(ctxb, "b"))
		if st, err := s.RenewNode(ctxb, b); err != nil || !st.Drain || st.Claimed {
			t.Fatalf("after a drain order: %+v, %v", st, err)
		}
		must(t, s.do(ctxb, s.client.B().Arbitrary("HSET", s.keys.node("a"), "renewed").
			Args(strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)).Build()).Error()) // however long the test takes
		live, err := s.LiveNodes(ctxb)
		must(t, err)
		wantEqual(t, "live", nodeNames(live), []string{"a"})
		if err := s.DrainNode(ctxb, "c"); !errors.Is(err, ErrNoNode) {
			t.Fatalf("drain of nobody: %v", err)
		}

		must(t, s.RemoveNode(ctxb, "b"))
		nodes, err = s.Nodes(ctxb)
		must(t, err)
		wantEqual(t, "nodes", nodeNames(nodes), []string{"a"})
		if st, err := s.RenewNode(ctxb, b); err != nil || !st.Claimed {
			t.Fatalf("after removal: %+v, %v", st, err)
		}
	})
}

// A lease that ran out is the node's to take for as long as nobody has claimed the node: either it keeps its connections, or it
// learns that others sign them off.
func TestALeaseThatRanOut(t *testing.T) {
	tests := []struct {
		name    string
		then    func(t *testing.T, s *Store)
		claimed bool
	}{
		{"nobody noticed", func(*testing.T, *Store) {}, false},
		{"it was found dead, but not claimed yet", func(t *testing.T, s *Store) {
			dead, err := s.deadNodes(ctxb)
			must(t, err)
			wantEqual(t, "dead", dead, []string{"n1"})
		}, false},
		{"who claimed it died before the rest", func(t *testing.T, s *Store) {
			claimed, err := s.claim(ctxb, []string{"n1"})
			must(t, err)
			wantEqual(t, "claimed", claimed, []string{"n1"})
		}, true},
		{"it was struck off", func(t *testing.T, s *Store) { must(t, s.reap(ctxb, []string{"n1"})) }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			onBothWithoutGrace(t, func(t *testing.T, s *Store) {
				before, err := s.RenewNode(ctxb, Node{ID: "n1"})
				must(t, err)
				connect(t, s, session(s, "anna"), AnyDevice)
				expireLease(t, s, "n1")
				test.then(t, s)
				eventually(t, "Redis' clock goes on", func() bool { return time.Since(before.Taken) > 2*time.Millisecond })
				st, err := s.RenewNode(ctxb, Node{ID: "n1"})
				if err != nil || st.Claimed != test.claimed || !st.Claimed && !st.Taken.After(before.Taken) {
					t.Fatalf("got %+v, %v after %+v", st, err, before)
				}
				must(t, s.reap(ctxb, []string{"n1"})) // by one who found it dead before
				must(t, s.sweep(ctxb))
				if online := clientOf(t, s, "anna").Online; online == test.claimed {
					t.Errorf("anna is online: %v", online)
				}
			})
		})
	}
}

// A failover may lose a claim while the connections are signed off. Then the node may be back.
func TestWhatIsNotClaimedIsNotSignedOff(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		connect(t, s, session(s, "anna"), AnyDevice)
		must(t, s.reapNode(ctxb, "n1"))
		if len(clientOf(t, s, "anna").Connections) != 1 {
			t.Error("it was signed off")
		}
	})
}

// The claim lies where the lease does: a script touches both.
func TestAClaimIsInTheSlotOfItsLease(t *testing.T) {
	redis := redistest.Start(t, redistest.Args("--cluster-enabled", "yes"))
	k := newKeyspace(1)
	got, want := redis.Do("CLUSTER", "KEYSLOT", k.claimed("host-1")), redis.Do("CLUSTER", "KEYSLOT", k.node("host-1"))
	if got != want || want[0] != ':' {
		t.Errorf("slot %s, the lease is in %s", got, want)
	}
}

func TestNodesThatDrainOrStandStillAreNotOffered(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	_, err := s.RenewNode(ctxb, Node{ID: "drains", Draining: true})
	must(t, err)
	_, err = s.RenewNode(ctxb, Node{ID: "stands"})
	must(t, err)
	before := time.Now().Add(-liveWithin - time.Second).UnixMilli()
	must(t, s.do(ctxb, s.client.B().Arbitrary("HSET", s.keys.node("stands"), "renewed").
		Args(strconv.FormatInt(before, 10)).Build()).Error())
	live, err := s.LiveNodes(ctxb)
	must(t, err)
	wantEqual(t, "live", nodeNames(live), []string{})
	nodes, err := s.Nodes(ctxb)
	must(t, err)
	if len(nodes) != 2 || !nodes[0].Draining {
		t.Fatalf("nodes: %+v", nodes)
	}
}
