package registry

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// leased is a lease that is being renewed, and what it asks for.
type leased struct {
	*Lease
	t     *testing.T
	redis *redistest.Server
	store *store.Store
	begun chan repair
}

// repair is a request to register all connections again, or to compare them, which takes until it is told to end.
type repair struct {
	what, id string
	ended    <-chan struct{}
}

func newLeased(t *testing.T) *leased {
	t.Helper()
	l := &leased{t: t, redis: redistest.Start(t), begun: make(chan repair, 10)}
	l.store = open(t, l.redis)
	asked := func(what string) func(context.Context) error {
		return func(ctx context.Context) error {
			l.begun <- repair{what, l.ID(), ctx.Done()}
			<-ctx.Done()
			return ctx.Err()
		}
	}
	l.Lease = &Lease{
		Store: l.store, Log: zap.NewNop(), NewID: protocol.NewID, Node: store.Node{URL: "ws://here/ws", Started: time.Now()},
		Count: func() int { return 0 }, Drain: func() {}, Restore: asked("restore"), Compare: asked("compare"),
	}
	l.Rename()
	if err := l.Register(ctxb); err != nil {
		t.Fatal(err)
	}
	return l
}

// run renews until the test ends.
func (l *leased) run() {
	ctx, cancel := context.WithCancel(ctxb)
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(ctx) })
	l.t.Cleanup(func() { cancel(); wg.Wait() })
}

// wait returns the next request.
func (l *leased) wait() repair {
	l.t.Helper()
	select {
	case r := <-l.begun:
		return r
	case <-time.After(20 * time.Second):
		l.t.Fatal("nothing is done about the connections")
	}
	return repair{}
}

// runOut ends the lease of a name, as when it was not renewed for long enough.
func (l *leased) runOut(id string) {
	l.redis.Do("DEL", "im:node:"+id)
	<-time.After(2 * time.Millisecond) // a lease lasts longer than the millisecond in which it was taken
}

// registered fails the test unless the registry has the lease of one name only.
func (l *leased) registered(id string) {
	l.t.Helper()
	live, err := l.store.LiveNodes(ctxb)
	if err != nil || len(live) != 1 || live[0].ID != id {
		l.t.Errorf("nodes %+v %v, want %s", live, err, id)
	}
}

// To register a full node's connections again may take longer than a lease lasts: the lease is renewed all the while, and
// when it is lost once more they are registered under the newest name.
func TestALeaseIsRenewedWhileConnectionsAreRegisteredAgain(t *testing.T) {
	l := newLeased(t)
	l.run()
	lose := func() repair {
		t.Helper()
		if err := l.store.RemoveNode(ctxb, l.ID()); err != nil {
			t.Fatal(err)
		}
		r := l.wait()
		if r.what != "restore" {
			t.Fatalf("asked for %q", r.what)
		}
		return r
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
		case <-l.begun:
			t.Fatal("registered twice at once")
		case <-time.After(10 * time.Millisecond):
		}
	}
	second := lose()
	over := func(r repair) bool {
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
	l.registered(second.id)
}

// Redis was away for longer than a lease. Nobody has claimed the node: it keeps its name, under which all its connections are
// registered unless Redis lost some.
func TestALeaseThatRanOutIsTakenAgain(t *testing.T) {
	tests := []struct {
		name  string
		again func(l *leased)
	}{
		{"by the next renewal", func(*leased) {}},
		{"by one whose answer was lost", func(l *leased) {
			n := l.Node
			n.ID = l.ID()
			if _, err := l.store.RenewNode(ctxb, n); err != nil {
				l.t.Fatal(err)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLeased(t)
			before := l.ID()
			l.runOut(before)
			test.again(l)
			l.run()
			if r := l.wait(); r.what != "compare" || r.id != before {
				t.Errorf("asked for %q as %s, was %s", r.what, r.id, before)
			}
			l.registered(before)
		})
	}
}

// A lease may be lost again while connections are being registered under a new name: not all of them are, and so all are
// compared.
func TestALeaseThatRunsOutWhileConnectionsAreRegisteredAgain(t *testing.T) {
	l := newLeased(t)
	l.run()
	if err := l.store.RemoveNode(ctxb, l.ID()); err != nil {
		t.Fatal(err)
	}
	first := l.wait()
	l.runOut(first.id)
	if r := l.wait(); r.what != "compare" || r.id != first.id {
		t.Errorf("asked for %q as %s, was %s", r.what, r.id, first.id)
	}
}

// A lease that lasts is no proof that nobody signed the connections off: a claim may be lost with a failover.
func TestANodeThatWasStruckOffTakesAnotherName(t *testing.T) {
	l := newLeased(t)
	before := l.ID()
	l.run()
	l.StruckOff("an earlier name")
	l.StruckOff(before)
	r := l.wait()
	if r.what != "restore" || r.id == before {
		t.Errorf("asked for %q as %s, was %s", r.what, r.id, before)
	}
	for n, last := 0, l.renewed.Load(); n < 2; { // and keeps it
		if now := l.renewed.Load(); now != last {
			n, last = n+1, now
		}
		select {
		case <-l.begun:
			t.Fatal("once more")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if l.ID() != r.id {
		t.Errorf("renamed once more: %s", l.ID())
	}
}
