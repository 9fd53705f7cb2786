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
// On a Cluster it is not known what other nodes than the subscribed one have published.
func (b *Subscriber) Heard(ctx context.Context) error {
	r := b.nextRound()
	if r == nil {
		return wrap("wait for the subscription", errNotSubscribed)
	}
	select {
	case <-r.over:
		return wrap("wait for the subscription", r.err)
	case <-ctx.Done():
		return wrap("wait for the subscription", ctx.Err())
	}
}

// Complete returns up to when the Receiver has been given everything that was published, interruptions aside: at most a
// few seconds ago while there is a connection. It is zero before the first one.
func (b *Subscriber) Complete() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.complete
}

// pings pairs the PINGs of one connection with their answers: Redis answers in order, and behind all that it had published
// to this connection before. Guarded by Subscriber.mu.
type pings struct {
	sent, answered uint64
	mark           uint64 // the last one whose time is known,
	at             time.Time
	open           *round // waits for an answer
	next           *round // those who came meanwhile share the next PING
}

// round is those who wait for the same answer.
type round struct {
	ping uint64 // which PING of the connection
	over chan struct{}
	err  error // set before over is closed
}

// nextRound joins the next round; it returns nil when there is no connection.
func (b *Subscriber) nextRound() *round {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil {
		return nil
	}
	if b.pings.next == nil {
		b.pings.next = &round{over: make(chan struct{})}
	}
	if b.pings.open == nil {
		b.nudge()
	}
	return b.pings.next
}

// ping appends a PING, which is also that of the next round if none is open.
func (b *Subscriber) ping(out []byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &b.pings
	p.sent++
	if p.answered >= p.mark {
		p.mark, p.at = p.sent, time.Now()
	}
	if p.open == nil && p.next != nil {
		p.open, p.next = p.next, nil
		p.open.ping = p.sent
	}
	return appendCommand(out, "PING")
}

// pingRound appends a PING if a round waits for one.
func (b *Subscriber) pingRound(out []byte) []byte {
	b.mu.Lock()
	waits := b.pings.open == nil && b.pings.next != nil
	b.mu.Unlock()
	if !waits {
		return out
	}
	return b.ping(out)
}

// ponged takes the answer to the oldest PING that has none.
func (b *Subscriber) ponged() {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &b.pings
	p.answered++
	if p.answered == p.mark {
		b.complete = p.at
	}
	if p.open == nil || p.answered < p.open.ping {
		return
	}
	close(p.open.over)
	p.open = nil
	if p.next != nil {
		b.nudge()
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
