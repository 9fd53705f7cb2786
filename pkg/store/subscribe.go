package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/imtier/imtier/pkg/beat"
)

// Receiver gets what a Subscriber hears. Its methods are called one at a time from the goroutine of Run and must
// not block: nothing else is heard meanwhile, and Redis cuts a subscriber that lags too far behind.
type Receiver interface {
	// Message is one message of a subscribed channel, in the order in which Redis got them. payload is the
	// Receiver's to keep.
	Message(channel string, payload []byte)
	// Lost says that messages are missed from now on: the connection broke, or could not be made.
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

// Subscriber follows channels on a connection of its own, which it makes again whenever it breaks. It never hides a
// gap: between two messages of a channel none is missing unless Lost and Restored came between them.
//
// The connection is a plain RESP2 one and not rueidis', whose subscriptions survive reconnects silently.
type Subscriber struct {
	s     *Store
	r     Receiver
	waits func() // called before each wait for Redis; nil: nobody wants to know

	mu       sync.Mutex
	channels map[string]*subscription
	conn     net.Conn      // nil while there is none
	pings    pings         // of conn
	complete time.Time     // see Complete
	wake     chan struct{} // capacity 1: channels changed or somebody waits for a ping, the writer should look
}

// subscription is the state of one channel, guarded by Subscriber.mu.
type subscription struct {
	name    string
	wanted  bool          // the caller wants it
	asked   bool          // the last command sent about it was SUBSCRIBE
	pending int           // commands about it which Redis has not answered
	live    bool          // Redis confirmed it and was not told otherwise since
	ready   chan struct{} // closed while live
}

const (
	subPingGap    = time.Second             // between pings, which also prove that the channel is quiet, not dead
	subSilence    = 2200 * time.Millisecond // without a byte from Redis, and then
	subLastLook   = 300 * time.Millisecond  // without one that was late: the connection is dead
	subWrite      = 2 * time.Second         // one write
	subChunk      = 100                     // channels in one SUBSCRIBE
	backoffFirst  = 50 * time.Millisecond
	backoffLast   = time.Second
	subReadBuffer = 64 << 10 // bytes
)

// NewSubscriber makes a Subscriber; Run starts it. r may be a Pauser.
func (s *Store) NewSubscriber(r Receiver) *Subscriber {
	b := &Subscriber{s: s, r: r, channels: make(map[string]*subscription), wake: make(chan struct{}, 1)}
	if p, ok := r.(Pauser); ok {
		b.waits = p.Pause
	}
	return b
}

// Run keeps the connection until ctx ends, and returns its error. Lost and Restored alternate, Lost first; a first
// connection that succeeds at once causes neither.
func (b *Subscriber) Run(ctx context.Context) error {
	lost, wait := false, backoffFirst
	for {
		err := b.session(ctx, func() {
			wait = backoffFirst
			if lost {
				lost = false
				b.r.Restored()
			}
		})
		b.drop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !lost {
			lost = true
			b.r.Lost(wrap("subscribe", err))
		}
		if !pause(ctx, wait/2+rand.N(wait/2+1)) {
			return ctx.Err()
		}
		wait = min(2*wait, backoffLast)
	}
}

// pause waits and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Subscribe follows channels until Unsubscribe; following one twice is the same as once. It returns when Redis has
// confirmed all of them, over as many reconnects as it takes, or when ctx ends; then they stay wanted.
func (b *Subscriber) Subscribe(ctx context.Context, channels ...string) error {
	b.mu.Lock()
	for _, name := range channels {
		sub, ok := b.channels[name]
		if !ok {
			sub = &subscription{name: name, ready: make(chan struct{})}
			b.channels[name] = sub
		}
		sub.wanted = true
	}
	b.mu.Unlock()
	b.nudge()
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

// notReady returns what to wait for before looking again, or nil when all channels are live. A channel that somebody
// unsubscribed meanwhile is not waited for.
func (b *Subscriber) notReady(channels []string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range channels {
		if sub := b.channels[name]; sub != nil && sub.wanted && !sub.live {
			return sub.ready
		}
	}
	return nil
}

// Unsubscribe stops following channels. It does not wait: messages that are under way still arrive.
func (b *Subscriber) Unsubscribe(channels ...string) {
	b.mu.Lock()
	for _, name := range channels {
		if sub := b.channels[name]; sub != nil {
			sub.wanted = false
			if !sub.live {
				close(sub.ready) // nobody should wait for it any more
				sub.ready = make(chan struct{})
			}
			b.forget(sub)
		}
	}
	b.mu.Unlock()
	b.nudge()
}

// Reset breaks the connection, for a caller who has found that nothing arrives on it any more.
func (b *Subscriber) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		b.conn.Close()
	}
}

func (b *Subscriber) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// forget removes a channel that is neither wanted nor known to Redis. The caller holds mu.
func (b *Subscriber) forget(sub *subscription) {
	if !sub.wanted && !sub.asked && sub.pending == 0 {
		delete(b.channels, sub.name)
	}
}

// session makes one connection and reads it until it ends. up is called when everything wanted at its start is
// subscribed.
func (b *Subscriber) session(ctx context.Context, up func()) error {
	conn, err := b.s.dialPubSub(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	b.mu.Lock()
	b.conn = conn
	b.mu.Unlock()

	quit := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { b.write(conn, quit) })
	err = b.read(conn, up)
	close(quit)
	conn.Close()
	writer.Wait()
	return err
}

// drop forgets what the ended connection had confirmed.
func (b *Subscriber) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn = nil
	b.pings.end()
	for _, sub := range b.channels {
		sub.asked, sub.pending = false, 0
		b.setLive(sub, false)
		b.forget(sub)
	}
}

// write sends what the channels' states ask for, and pings. It ends by quit; when it cannot write it closes the
// connection, which the reader notices.
func (b *Subscriber) write(conn net.Conn, quit <-chan struct{}) {
	ping := time.NewTimer(beat.Until(subPingGap))
	defer ping.Stop()
	out := b.commands(nil)
	out = b.ping(out) // its answer comes after the confirmations
	for {
		if len(out) > 0 {
			if err := conn.SetWriteDeadline(time.Now().Add(subWrite)); err != nil {
				conn.Close()
				return
			}
			if _, err := conn.Write(out); err != nil {
				conn.Close()
				return
			}
		}
		out = out[:0]
		select {
		case <-b.wake:
			out = b.pingRound(b.commands(out))
		case <-ping.C:
			ping.Reset(beat.Until(subPingGap))
			out = b.ping(out)
		case <-quit:
			return
		}
	}
}

// commands appends the SUBSCRIBE and UNSUBSCRIBE commands that bring Redis to what is wanted.
func (b *Subscriber) commands(out []byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	var on, off []string
	for name, sub := range b.channels {
		switch {
		case sub.wanted && !sub.asked:
			on = append(on, name)
		case !sub.wanted && sub.asked:
			off = append(off, name)
			b.setLive(sub, false)
		default:
			continue
		}
		sub.asked = sub.wanted
		sub.pending++
	}
	out = appendChunks(out, "UNSUBSCRIBE", off)
	return appendChunks(out, "SUBSCRIBE", on)
}

func appendChunks(out []byte, command string, names []string) []byte {
	for len(names) > 0 {
		n := min(len(names), subChunk)
		out = appendCommand(out, append([]string{command}, names[:n]...)...)
		names = names[n:]
	}
	return out
}

// read hands messages to the Receiver until the connection ends.
func (b *Subscriber) read(conn net.Conn, up func()) error {
	r := newPubSubReader(conn, b.waits)
	started := false
	for {
		m, err := r.next()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				err = errors.New("connection closed")
			}
			return err
		}
		switch m.kind {
		case pubsubMessage:
			b.r.Message(m.channel, m.payload)
		case pubsubSubscribed, pubsubUnsubscribed:
			b.answered(m.channel, m.kind == pubsubSubscribed)
		case pubsubPong:
			b.ponged()
			if !started {
				started = true
				up()
			}
		}
	}
}

// answered takes a confirmation. A channel is live when the last command about it was the one confirmed.
func (b *Subscriber) answered(channel string, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sub := b.channels[channel]
	if sub == nil {
		return
	}
	if sub.pending > 0 {
		sub.pending--
	}
	b.setLive(sub, on && sub.pending == 0)
	if !on && sub.asked && sub.pending == 0 {
		sub.asked = false // Redis dropped it of its own accord (slot migration): ask again
		b.nudge()
	}
	b.forget(sub)
}

// setLive changes a channel's state and releases those who wait for it. The caller holds mu.
func (b *Subscriber) setLive(sub *subscription, live bool) {
	if sub.live == live {
		return
	}
	sub.live = live
	if live {
		close(sub.ready)
	} else {
		sub.ready = make(chan struct{})
	}
}
