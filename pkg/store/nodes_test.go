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
	onBoth(t, func(t *testing.T, s *Store) {
		started := time.UnixMilli(1700000000000)
		b := Node{ID: "b", URL: "ws://b/ws", Started: started, Conns: 7}
		if st, err := s.RenewNode(ctxb, b, false); err != nil || !st.Gone {
			t.Fatalf("renewed what was not registered: %+v, %v", st, err)
		}
		for _, n := range []Node{b, {ID: "a", URL: "ws://a/ws", Started: started}} {
			if st, err := s.RenewNode(ctxb, n, true); err != nil || st != (RenewState{}) {
				t.Fatalf("register: %+v, %v", st, err)
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
		if st, err := s.RenewNode(ctxb, b, false); err != nil || !st.Drain || st.Gone {
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
		if st, err := s.RenewNode(ctxb, b, false); err != nil || !st.Gone {
			t.Fatalf("after removal: %+v, %v", st, err)
		}
	})
}

func TestNodesThatDrainOrStandStillAreNotOffered(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	_, err := s.RenewNode(ctxb, Node{ID: "drains", Draining: true}, true)
	must(t, err)
	_, err = s.RenewNode(ctxb, Node{ID: "stands"}, true)
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
