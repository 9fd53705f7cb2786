package store

import (
	"context"
	"errors"
	"time"
)

var errNotSubscribed = errors.New("the subscription is interrupted")

// Heard returns nil when the Receiver has been given everything that Redis published on the subscribed channels before the
// call. What is read on another connection is newer than what has been heard: who must not act on it too early waits here
// after reading. It fails when the subscription is interrupted; Lost has then been called, or is about to be.
//
// Of the channels that every server of a Cluster publishes on it is not known what others than the followed one have published.
func (b *Subscriber) Heard(ctx context.Context) error {
	rounds, before := b.nextRounds()
	for _, r := range rounds {
		if r == nil {
			return wrap("wait for the subscription", errNotSubscribed)
		}
		select {
		case <-r.over:
			if r.err != nil {
				return wrap("wait for the subscription", r.err)
			}
		case <-ctx.Done():
			return wrap("wait for the subscription", ctx.Err())
		}
	}
	if b.s.cluster && b.misses() != before { // a channel has moved, and what was published there has not been heard
		return wrap("wait for the subscription", errNotSubscribed)
	}
	return nil
}

// misses is how many troubles there have been.
func (b *Subscriber) misses() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.missed
}

// nextRounds joins the next round of every follower: what is nil is interrupted. It also returns how many troubles there have been.
func (b *Subscriber) nextRounds() (rounds []*round, missed int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.followers) == 0 || b.s.cluster && len(b.troubles) > 0 {
		return []*round{nil}, b.missed
	}
	rounds = make([]*round, 0, len(b.followers))
	for _, f := range b.followers {
		rounds = append(rounds, f.nextRound())
	}
	return rounds, b.missed
}

// Complete returns up to when the Receiver has been given everything that was published, interruptions aside: at most a
// few seconds ago while there is a connection. It is zero before the first one.
func (b *Subscriber) Complete() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	var first time.Time
	for _, f := range b.followers {
		if at := f.completeAt(); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func (f *follower) completeAt() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.complete
}

// pings pairs the PINGs of one connection with their answers: Redis answers in order, and behind all that it had published
// to this connection before. Guarded by follower.mu.
type pings struct {
	sent, answered uint64
	mark           uint64 // the last one whose time is known,
	at             time.Time
	open           *round // waits for an answer
	next           *round // those who came meanwhile share the next PING
}

// round is those who wait for the same answer.
type round struct {
	ping uint64    // which PING of the connection
	at   time.Time // when that was sent
	over chan struct{}
	err  error // set before over is closed
}

// nextRound joins the next round; it returns nil when there is no connection, or one to a server whose place another one
// has taken: what is read comes from there already, and is ahead of what this one can bring.
func (f *follower) nextRound() *round {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn == nil || !f.keepToMaster() {
		return nil
	}
	if f.pings.next == nil {
		f.pings.next = &round{over: make(chan struct{})}
	}
	if f.pings.open == nil {
		f.nudge()
	}
	return f.pings.next
}

// ping appends a PING, which is also that of the next round if none is open.
func (f *follower) ping(out []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &f.pings
	p.sent++
	if p.answered >= p.mark {
		p.mark, p.at = p.sent, time.Now()
	}
	if p.open == nil && p.next != nil {
		p.open, p.next = p.next, nil
		p.open.ping, p.open.at = p.sent, time.Now()
	}
	return appendCommand(out, "PING")
}

// pingRound appends a PING if a round waits for one.
func (f *follower) pingRound(out []byte) []byte {
	f.mu.Lock()
	waits := f.pings.open == nil && f.pings.next != nil
	f.mu.Unlock()
	if !waits {
		return out
	}
	return f.ping(out)
}

// ponged takes the answer to the oldest PING that has none.
func (f *follower) ponged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &f.pings
	p.answered++
	if p.answered == p.mark {
		f.complete = p.at
	}
	if p.open == nil || p.answered < p.open.ping {
		return
	}
	f.complete = p.open.at // whose time may not be the marked one
	close(p.open.over)
	p.open = nil
	if p.next != nil {
		f.nudge()
	}
}

// end fails everybody who waits: the connection is over.
func (p *pings) end() {
	for _, r := range []*round{p.open, p.next} {
		if r != nil {
			r.err = errNotSubscribed
			close(r.over)
		}
	}
	*p = pings{}
}
