package hub

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// paused is a hub whose shards have no goroutines yet; run starts them.
type paused struct {
	*Hub
	t *testing.T
}

func newPaused(t *testing.T) paused {
	h := New(Options{PingInterval: time.Minute, PongTimeout: time.Minute, StartTimeout: time.Minute})
	h.Hold(ann)
	h.Settle(ann, protocol.Position{})
	return paused{h, t}
}

// came has so many ephemeral messages come together, and returns how many wait in front of the shard.
func (p paused) came(n int) (waiting int) {
	p.t.Helper()
	m, err := NewMessage(message("x").Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	for range n {
		p.Deliver(ann, protocol.Position{}, 0, m)
	}
	p.Flush()
	s := p.shard(ann)
	s.in.Lock()
	defer s.in.Unlock()
	return len(s.in.items)
}

func (p paused) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	p.t.Cleanup(func() { cancel(); wg.Wait() })
}

// Little is done by the goroutine that brings it, much is left to the shard's.
func TestWhoFansOut(t *testing.T) {
	for _, tc := range []struct{ come, wait int }{{1, 0}, {maxAside, 0}, {maxAside + 1, maxAside + 1}, {3 * maxAside, 3 * maxAside}} {
		t.Run(fmt.Sprint(tc.come), func(t *testing.T) {
			p := newPaused(t)
			if got := p.came(tc.come); got != tc.wait {
				t.Errorf("%d wait, want %d", got, tc.wait)
			}
			if got := p.came(1); tc.wait == 0 && got != 0 {
				t.Errorf("%d wait after a pause", got)
			}
			p.run()
			eventually(t, "nothing waits", func() bool { return p.came(0) == 0 })
		})
	}
}

// While the shard's goroutine is at it, what comes is left to it.
func TestTheShardIsAtIt(t *testing.T) {
	p := newPaused(t)
	s := p.shard(ann)
	s.turn.Lock()
	if got := p.came(1); got != 1 {
		t.Errorf("%d wait", got)
	}
	s.turn.Unlock()
	p.run()
	eventually(t, "nothing waits", func() bool { return p.came(0) == 0 })
}

// Of a message to a large group the first are written at once, the others by the shard's goroutine.
func TestALargeGroupIsNotFannedOutInOneGo(t *testing.T) {
	r := newRig(t)
	const n = 2*asideWrites + 1
	members := make([]*client, n)
	for i := range members {
		members[i] = r.connect(fmt.Sprintf("m%d", i), true, "chess")
	}
	a := r.log.add(chess, message("x"))
	s := r.hub.shard(chess)
	s.turn.Lock() // its goroutine does nothing meanwhile
	r.hub.Deliver(a.stream, a.pos, a.fence, a.msg)
	more := s.step(asideWrites)
	s.turn.Unlock()
	if got := r.hub.Counters().Delivered.Load(); got != asideWrites || !more {
		t.Errorf("%d were written in one go, more is %v", got, more)
	}
	b := r.log.add(chess, message("y"))
	r.hub.Deliver(b.stream, b.pos, b.fence, b.msg)
	r.hub.Flush() // and nothing after it
	for _, k := range members {
		k.expect("group:chess", "x", "y")
	}
}
