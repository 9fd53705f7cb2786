package store

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/imtier/imtier/pkg/beat"
)

// follower follows a Subscriber's channels on one server, on a connection of its own, which it makes again whenever it breaks.
//
// The connection is a plain RESP2 one and not rueidis', whose subscriptions survive reconnects silently.
type follower struct {
	b      *Subscriber
	addr   string // see anyServer
	verbs  verbs
	cancel context.CancelFunc // of run; set before it runs

	mu       sync.Mutex
	channels map[string]*subscription
	conn     net.Conn      // nil while there is none
	at       string        // address that conn leads to
	why      error         // why conn was closed here; nil: it was not
	pings    pings         // of conn
	complete time.Time     // see Subscriber.Complete
	wake     chan struct{} // capacity 1: channels changed or somebody waits for a ping, the writer should look
}

// verbs are the commands by which channels are followed.
type verbs struct {
	on, off string
	chunk   int // channels in one command
}

var (
	plain   = verbs{"SUBSCRIBE", "UNSUBSCRIBE", 100}
	sharded = verbs{"SSUBSCRIBE", "SUNSUBSCRIBE", 1} // of one slot only
)

// subscription is the state of one channel, guarded by follower.mu.
type subscription struct {
	name    string
	wanted  bool          // the Subscriber wants it here
	asked   bool          // the last command sent about it was to follow it
	pending int           // commands about it which Redis has not answered
	live    bool          // Redis confirmed it and was not told otherwise since
	ready   chan struct{} // closed while live
}

const (
	subPingGap    = time.Second             // between pings, which also prove that the channel is quiet, not dead
	subSilence    = 2200 * time.Millisecond // without a byte from Redis, and then
	subLastLook   = 300 * time.Millisecond  // without one that was late: the connection is dead
	subWrite      = 2 * time.Second         // one write
	backoffFirst  = 50 * time.Millisecond
	backoffLast   = time.Second
	subReadBuffer = 64 << 10 // bytes
)

func newFollower(b *Subscriber, addr string) *follower {
	f := &follower{b: b, addr: addr, verbs: sharded, channels: make(map[string]*subscription), wake: make(chan struct{}, 1)}
	if addr == anyServer {
		f.verbs = plain
	}
	return f
}

// run keeps the connection until ctx ends.
func (f *follower) run(ctx context.Context) {
	wait := backoffFirst
	for {
		err := f.session(ctx, func() {
			wait = backoffFirst
			f.b.over(f)
		})
		f.drop()
		if ctx.Err() != nil {
			return
		}
		f.b.broken(f, err)
		if !pause(ctx, wait/2+rand.N(wait/2+1)) {
			return
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

// want follows a channel.
func (f *follower) want(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sub, ok := f.channels[name]
	if !ok {
		sub = &subscription{name: name, ready: make(chan struct{})}
		f.channels[name] = sub
	}
	sub.wanted = true
	f.nudge()
}

// notReady returns what to wait for before looking again, or nil when a channel is live.
func (f *follower) notReady(name string) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if sub := f.channels[name]; sub != nil && sub.wanted && !sub.live {
		return sub.ready
	}
	return nil
}

// leave stops following a channel.
func (f *follower) leave(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sub := f.channels[name]
	if sub == nil {
		return
	}
	sub.wanted = false
	if !sub.live {
		close(sub.ready) // nobody should wait for it any more
		sub.ready = make(chan struct{})
	}
	f.forget(sub)
	f.nudge()
}

// reset breaks the connection.
func (f *follower) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.close(errClosed)
}

var errClosed = errors.New("connection closed")

// close breaks the connection, if there is one. The caller holds mu.
func (f *follower) close(why error) {
	if f.conn != nil {
		f.conn.Close()
		f.why = why
	}
}

func (f *follower) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// forget removes a channel that is neither wanted nor known to Redis. The caller holds mu.
func (f *follower) forget(sub *subscription) {
	if !sub.wanted && !sub.asked && sub.pending == 0 {
		delete(f.channels, sub.name)
	}
}

// session makes one connection and reads it until it ends. up is called when everything wanted at its start is
// subscribed.
func (f *follower) session(ctx context.Context, up func()) error {
	addr := f.addr
	if addr == anyServer {
		addr = f.b.s.anyServer()
	}
	conn, err := f.b.s.dialPubSub(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	f.mu.Lock()
	f.conn, f.at, f.why = conn, addr, nil
	f.mu.Unlock()

	quit := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { f.write(conn, quit) })
	err = f.read(conn, up)
	close(quit)
	conn.Close()
	writer.Wait()
	return err
}

// drop forgets what the ended connection had confirmed.
func (f *follower) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conn = nil
	f.pings.end()
	for _, sub := range f.channels {
		sub.asked, sub.pending = false, 0
		f.setLive(sub, false)
		f.forget(sub)
	}
}

// write sends what the channels' states ask for, and pings. It ends by quit; when it cannot write it closes the
// connection, which the reader notices.
func (f *follower) write(conn net.Conn, quit <-chan struct{}) {
	ping := time.NewTimer(beat.Until(subPingGap))
	defer ping.Stop()
	out := f.commands(nil)
	out = f.ping(out) // its answer comes after the confirmations
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
		case <-f.wake:
			out = f.pingRound(f.commands(out))
		case <-ping.C:
			ping.Reset(beat.Until(subPingGap))
			out = f.ping(out)
		case <-quit:
			return
		}
	}
}

// commands appends the commands that bring Redis to what is wanted.
func (f *follower) commands(out []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	var on, off []string
	for name, sub := range f.channels {
		switch {
		case sub.wanted && !sub.asked:
			on = append(on, name)
		case !sub.wanted && sub.asked:
			off = append(off, name)
			f.setLive(sub, false)
		default:
			continue
		}
		sub.asked = sub.wanted
		sub.pending++
	}
	out = appendChunks(out, f.verbs.off, off, f.verbs.chunk)
	return appendChunks(out, f.verbs.on, on, f.verbs.chunk)
}

func appendChunks(out []byte, command string, names []string, chunk int) []byte {
	for len(names) > 0 {
		n := min(len(names), chunk)
		out = appendCommand(out, append([]string{command}, names[:n]...)...)
		names = names[n:]
	}
	return out
}

// read hands messages to the Receiver until the connection ends.
func (f *follower) read(conn net.Conn, up func()) error {
	r := newPubSubReader(conn, f.b.waits)
	started := false
	for {
		m, err := r.next()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				err = f.closed()
			}
			return err
		}
		switch m.kind {
		case pubsubMessage:
			f.b.message(f, m.channel, m.payload)
		case pubsubSubscribed, pubsubUnsubscribed:
			f.answered(m.channel, m.kind == pubsubSubscribed)
		case pubsubPong:
			f.ponged()
			if !started {
				started = true
				up()
			}
		}
	}
}

// closed is why the connection was closed here.
func (f *follower) closed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return cmp.Or(f.why, errClosed)
}

// answered takes a confirmation. A channel is live when the last command about it was the one confirmed.
func (f *follower) answered(channel string, on bool) {
	f.mu.Lock()
	sub := f.channels[channel]
	if sub == nil {
		f.mu.Unlock()
		return
	}
	if sub.pending > 0 {
		sub.pending--
	}
	live := on && sub.pending == 0
	f.setLive(sub, live)
	dropped := !on && sub.asked && sub.pending == 0
	if dropped {
		sub.asked = false // Redis left it of its own accord: the slot has moved
	}
	f.forget(sub)
	f.mu.Unlock()
	switch {
	case live:
		f.b.followed(f, channel)
	case dropped:
		f.b.dropped(f, channel)
	}
}

// setLive changes a channel's state and releases those who wait for it. The caller holds mu.
func (f *follower) setLive(sub *subscription, live bool) {
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
