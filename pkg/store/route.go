package store

import (
	"context"
	"errors"
	"time"

	"github.com/imtier/imtier/pkg/beat"
)

// In a Cluster each server tells of the channels of its own slots only, and slots move: when servers are added or removed, and
// when a replica takes its master's place. The server that loses a slot usually says so (sunsubscribe), and refuses to have its
// channels followed (MOVED); but one that was cut off says nothing, so the slots are also looked at now and then. A channel that
// has moved is missed from the moment that this is noticed until the other server has confirmed it.

const (
	routeInterval = time.Second            // between looks at the slots
	routePause    = 100 * time.Millisecond // at least
)

var errMoved = errors.New("the slot of a channel has moved to another server")

// moved is the trouble of a channel until another follower has it; nil: its server is not known yet.
type moved struct {
	channel string
	to      *follower
}

// server is the address of the server on which a channel is to be followed, if that is known. The caller holds mu.
func (b *Subscriber) server(channel string) (addr string, known bool) {
	if !b.s.cluster || b.s.keys.global(channel) {
		return anyServer, true
	}
	return b.slots.server(channel)
}

// route keeps every channel with the server that has its slot, until ctx ends.
func (b *Subscriber) route(ctx context.Context) {
	for ctx.Err() == nil {
		slots, err := b.s.readSlots(ctx)
		switch {
		case err == nil:
			b.assign(slots)
			b.over(b)
		case ctx.Err() == nil && !b.routed():
			b.trouble(b, err) // nothing has ever been followed; later the followers notice
		}
		if !pause(ctx, routePause) {
			return
		}
		select {
		case <-b.look:
		case <-time.After(beat.Until(routeInterval)):
		case <-ctx.Done():
		}
	}
}

// routed tells whether the slots have ever been read.
func (b *Subscriber) routed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.slots) > 0
}

// assign gives every channel to the server that has it now. A slot that no server has stays where it was.
func (b *Subscriber) assign(now slots) {
	b.tells.Lock()
	defer b.tells.Unlock()
	b.mu.Lock()
	b.slots = now
	first := false
	for name, f := range b.channels {
		addr, known := b.server(name)
		if !known || f != nil && f.addr == addr {
			continue
		}
		missed := f != nil || b.lost // who has been told Lost is told Restored when this one is followed, too
		if f != nil {
			f.leave(name)
		}
		delete(b.troubles, moved{name, f})
		to := b.place(name)
		b.channels[name] = to
		if !missed {
			continue
		}
		first = b.miss(moved{name, to}) || first
		if to.notReady(name) == nil { // it has come back before its server was told anything
			delete(b.troubles, moved{name, to})
		}
	}
	b.retire()
	close(b.placed)
	b.placed = make(chan struct{})
	b.mu.Unlock()
	if first {
		b.r.Lost(wrap("subscribe", errMoved))
	}
}

// retire ends the followers that follow nothing any more. The caller holds mu.
func (b *Subscriber) retire() {
	used := make(map[*follower]bool, len(b.followers))
	for _, f := range b.channels {
		used[f] = true
	}
	for addr, f := range b.followers {
		if !used[f] {
			f.cancel()
			delete(b.followers, addr)
			delete(b.troubles, f)
		}
	}
}

// broken says that a follower's connection broke, or could not be made.
func (b *Subscriber) broken(f *follower, err error) {
	b.trouble(f, err)
	b.lookAgain()
}

// followed says that a server has confirmed a channel.
func (b *Subscriber) followed(f *follower, channel string) {
	if b.s.cluster {
		b.over(moved{channel, f})
	}
}

// dropped says that a server has left a channel of its own accord.
func (b *Subscriber) dropped(f *follower, channel string) {
	b.tells.Lock()
	defer b.tells.Unlock()
	b.mu.Lock()
	mine, first := b.channels[channel] == f, false
	if mine { // all at once: a trouble that is noted after the channel has got another follower would never be over
		f.leave(channel)
		b.channels[channel] = nil
		first = b.miss(moved{channel, nil})
	}
	b.mu.Unlock()
	if first {
		b.r.Lost(wrap("subscribe", errMoved))
	}
	if mine {
		b.lookAgain()
	}
}

// lookAgain has the slots looked at soon.
func (b *Subscriber) lookAgain() {
	select {
	case b.look <- struct{}{}:
	default:
	}
}
