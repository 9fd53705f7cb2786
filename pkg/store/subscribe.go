package store

import (
	"context"
	"fmt"
	"sync"
)

// Receiver gets what a Subscriber hears. Its methods are called one at a time and must not block: nothing else is heard
// meanwhile, and Redis cuts a subscriber that lags too far behind.
type Receiver interface {
	// Message is one message of a subscribed channel, in the order in which Redis got them. payload is the
	// Receiver's to keep.
	Message(channel string, payload []byte)
	// Lost says that messages are missed from now on, or have been for a moment: a connection broke, or could not be made, or a channel
	// has moved to another server of a Cluster, or another server of a Sentinel set has become the master.
	Lost(err error)
	// Restored says, after Lost, that every channel is subscribed again. What was sent in between has to be
	// read from the streams. Messages of channels that came back earlier may precede it.
	Restored()
}

// Pauser is a Receiver that puts work aside while messages come, and wants to know when to do it.
type Pauser interface {
	// Pause precedes each wait for Redis: nothing more has come for now, or only a part of a message.
	Pause()
}

// Subscriber follows channels on connections of its own, which it makes again whenever they break: one, or in a Cluster one
// to each server that has channels, see route.go. It never hides a gap: between two messages of a channel none is missing
// unless Lost and Restored came between them.
type Subscriber struct {
	s     *Store
	r     Receiver
	waits func()        // called before each wait for Redis; nil: nobody wants to know
	look  chan struct{} // capacity 1: the Cluster may have changed

	// tells is held while the Receiver is called, and goes before mu. Changing what follows from Lost and Restored while
	// holding it keeps messages back that belong behind them.
	tells sync.Mutex

	mu        sync.Mutex
	channels  map[string]*follower // who follows a wanted channel; nil: its server is not known yet
	followers map[string]*follower // by address; that of anyServer is empty
	slots     slots                // of the Cluster, when it was last looked at
	placed    chan struct{}        // closed and made anew when channels get another follower
	spawn     func(*follower)      // starts one; nil while Run does not run
	lost      bool                 // what the Receiver was told last
	troubles  map[any]bool         // what has to be over before it is told Restored: broken followers, channels that have moved
	missed    int64                // how many troubles there have been
}

// anyServer stands for the address of the only server, of the Sentinel set's master, or of whichever server of a Cluster: all hear
// what PUBLISH sends.
const anyServer = ""

// NewSubscriber makes a Subscriber; Run starts it. r may be a Pauser.
func (s *Store) NewSubscriber(r Receiver) *Subscriber {
	b := &Subscriber{
		s: s, r: r, look: make(chan struct{}, 1), placed: make(chan struct{}),
		channels: make(map[string]*follower), followers: make(map[string]*follower), troubles: make(map[any]bool),
	}
	if p, ok := r.(Pauser); ok {
		b.waits = func() {
			b.tells.Lock()
			defer b.tells.Unlock()
			p.Pause()
		}
	}
	if !s.cluster {
		b.follower(anyServer)
	}
	return b
}

// Run keeps the connections until ctx ends, and returns its error. Lost and Restored alternate, Lost first; a first
// connection that succeeds at once causes neither.
func (b *Subscriber) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	b.mu.Lock()
	b.spawn = func(f *follower) {
		ctx, cancel := context.WithCancel(ctx)
		f.cancel = cancel
		wg.Go(func() { f.run(ctx) })
	}
	for _, f := range b.followers {
		b.spawn(f)
	}
	b.mu.Unlock()
	switch {
	case b.s.cluster:
		b.route(ctx)
	case b.s.sentinel:
		b.followMaster(ctx)
	}
	<-ctx.Done()
	b.mu.Lock()
	b.spawn = nil
	b.mu.Unlock()
	return ctx.Err()
}

// follower returns the one for an address, new if need be. The caller holds mu, or is the only one who knows b.
func (b *Subscriber) follower(addr string) *follower {
	f := b.followers[addr]
	if f == nil {
		f = newFollower(b, addr)
		b.followers[addr] = f
		if b.spawn != nil {
			b.spawn(f)
		}
	}
	return f
}

// Subscribe follows channels until Unsubscribe; following one twice is the same as once. It returns when Redis has
// confirmed all of them, over as many reconnects as it takes, or when ctx ends; then they stay wanted.
func (b *Subscriber) Subscribe(ctx context.Context, channels ...string) error {
	b.mu.Lock()
	for _, name := range channels {
		if b.channels[name] == nil {
			b.channels[name] = b.place(name)
		}
	}
	b.mu.Unlock()
	for {
		ready := b.notReady(channels)
		if ready == nil {
			return nil
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return wrap(fmt.Sprintf("subscribe to %d channels", len(channels)), ctx.Err())
		}
	}
}

// place has a channel followed on the server where it is, if that is known. The caller holds mu.
func (b *Subscriber) place(name string) *follower {
	addr, ok := b.server(name)
	if !ok {
		return nil
	}
	f := b.follower(addr)
	f.want(name)
	return f
}

// notReady returns what to wait for before looking again, or nil when all channels are live. A channel that somebody
// unsubscribed meanwhile is not waited for.
func (b *Subscriber) notReady(channels []string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range channels {
		f, wanted := b.channels[name]
		if !wanted {
			continue
		}
		if f == nil {
			return b.placed
		}
		if ready := f.notReady(name); ready != nil {
			return ready
		}
	}
	return nil
}

// Unsubscribe stops following channels. It does not wait: messages that are under way still arrive.
func (b *Subscriber) Unsubscribe(channels ...string) {
	b.mu.Lock()
	troubles := make([]moved, 0, len(channels))
	for _, name := range channels {
		f := b.channels[name]
		if f != nil {
			f.leave(name)
		}
		delete(b.channels, name)
		troubles = append(troubles, moved{name, f})
	}
	b.mu.Unlock()
	if b.s.cluster {
		for _, t := range troubles {
			b.over(t)
		}
	}
}

// Reset breaks the connections, for a caller who has found that nothing arrives on them any more.
func (b *Subscriber) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.followers {
		f.reset()
	}
}

// message passes one on, unless its channel is followed elsewhere by now: what a slow connection still brings of it belongs before
// what the other one has brought.
func (b *Subscriber) message(f *follower, channel string, payload []byte) {
	b.tells.Lock()
	defer b.tells.Unlock()
	if b.s.cluster && !b.has(f, channel) {
		return
	}
	b.r.Message(channel, payload)
}

// has tells whether a follower is the one of a channel.
func (b *Subscriber) has(f *follower, channel string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.channels[channel] == f
}

// trouble says that messages are missed from now on, until over is called for the same what.
func (b *Subscriber) trouble(what any, err error) {
	b.tells.Lock()
	defer b.tells.Unlock()
	b.mu.Lock()
	if f, ok := what.(*follower); ok && b.followers[f.addr] != f { // retired
		b.mu.Unlock()
		return
	}
	first := b.miss(what)
	b.mu.Unlock()
	if first {
		b.r.Lost(wrap("subscribe", err))
	}
}

// miss notes a trouble, and reports whether the Receiver has to be told. The caller holds tells and mu.
func (b *Subscriber) miss(what any) (first bool) {
	b.troubles[what] = true
	b.missed++
	first = !b.lost
	b.lost = true
	return first
}

// over ends a trouble, if it is one.
func (b *Subscriber) over(what any) {
	b.tells.Lock()
	defer b.tells.Unlock()
	b.mu.Lock()
	delete(b.troubles, what)
	last := b.lost && len(b.troubles) == 0
	if last {
		b.lost = false
	}
	b.mu.Unlock()
	if last {
		b.r.Restored()
	}
}
