package registry

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// To register a full node's connections again may take longer than a lease lasts: the lease is renewed all the while, and
// when it is lost once more they are registered under the newest name.
func TestALeaseIsRenewedWhileConnectionsAreRegisteredAgain(t *testing.T) {
	st := open(t, redistest.Start(t))
	type restore struct {
		id    string
		ended <-chan struct{}
	}
	begun := make(chan restore, 10)
	var l *Lease
	l = &Lease{
		Store: st, Log: zap.NewNop(), NewID: protocol.NewID, Node: store.Node{URL: "ws://here/ws", Started: time.Now()},
		Count: func() int { return 0 }, Drain: func() {},
		Restore: func(ctx context.Context) error {
			begun <- restore{l.ID(), ctx.Done()}
			<-ctx.Done()
			return ctx.Err()
		},
	}
	l.Rename()
	if err := l.Register(ctxb); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctxb)
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })

	lose := func() restore {
		t.Helper()
		if err := st.RemoveNode(ctxb, l.ID()); err != nil {
			t.Fatal(err)
		}
		select {
		case r := <-begun:
			return r
		case <-time.After(20 * time.Second):
			t.Fatal("connections are not registered again")
		}
		return restore{}
	}
	first := lose()
	for n, last := 0, l.renewed.Load(); n < 3; {
		if now := l.renewed.Load(); now != last {
			n, last = n+1, now
		}
		if l.Ready() != nil {
			t.Fatal("the lease is not renewed")
		}
		select {
		case <-begun:
			t.Fatal("registered twice at once")
		case <-time.After(10 * time.Millisecond):
		}
	}
	second := lose()
	over := func(r restore) bool {
		select {
		case <-r.ended:
			return true
		default:
			return false
		}
	}
	if !over(first) || over(second) || first.id == second.id {
		t.Errorf("first %q ended %v, second %q ended %v", first.id, over(first), second.id, over(second))
	}
	live, err := st.LiveNodes(ctxb)
	if err != nil || !slices.ContainsFunc(live, func(n store.Node) bool { return n.ID == second.id }) {
		t.Errorf("nodes %+v %v", live, err)
	}
}
