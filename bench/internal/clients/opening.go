package clients

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// opening is a plan that is being carried out. It is the loop's from give on.
type opening struct {
	plan    Plan
	dialers dialers
	token   func(i int) (string, error)
	kept    []place // where clients keep their positions; nil: nowhere

	next  int        // of the connections, the first that has not been tried
	under int        // connections under way
	open  int        // connections that are open
	again []retrial  // refused for now, the first due first
	look  time.Time  // when handshakes are looked at that take too long
	done  chan error // takes one value: nil when all are open

	connected        func(after time.Duration) // from the first packet to the answer to the handshake
	refused, retried func()                    // counts
}

// retrial is a connection that is to be tried again.
type retrial struct {
	i, attempt int
	due        time.Time
}

// lookInterval is how often handshakes that take too long are looked for.
const lookInterval = time.Second

// give has the loop open connections; o.done gets the result.
func (l *loop) give(o *opening) {
	l.given.Store(o)
	l.wake()
}

// dial begins as many connections as may be under way at once. One thread does everything: to hand connections
// from goroutine to goroutine costs as much as the client's own system calls.
func (l *loop) dial() {
	if o := l.given.Swap(nil); o != nil {
		l.opening = o
		o.look = time.Now().Add(lookInterval)
	}
	o := l.opening
	if o == nil {
		return
	}
	now := time.Now()
	for l.opening == o && o.under < max(1, o.plan.Parallel) {
		r, ok := o.take(now)
		if !ok {
			break
		}
		if err := l.begin(o, r); err != nil {
			l.finish(fmt.Errorf("connection %d: %w", r.i, err))
		}
	}
	if o.open == o.plan.Count {
		l.finish(nil)
	}
	if now.After(o.look) {
		o.look = now.Add(lookInterval)
		l.expire(now)
	}
}

// take returns the connection to begin next, if there is one now.
func (o *opening) take(now time.Time) (r retrial, ok bool) {
	switch {
	case len(o.again) > 0 && !now.Before(o.again[0].due):
		r, o.again = o.again[0], o.again[1:]
	case o.next < o.plan.Count:
		r.i = o.next
		o.next++
	default:
		return r, false
	}
	return r, true
}

// finish ends the opening; connections under way are left to themselves.
func (l *loop) finish(err error) {
	if l.opening != nil {
		l.opening.done <- err
		l.opening = nil
	}
}

// patience is how long to wait for events, in milliseconds.
func (l *loop) patience() int {
	if o := l.opening; o != nil && len(o.again) > 0 {
		return millisecondsTo(o.again[0].due)
	}
	if len(l.acks) > 0 {
		return millisecondsTo(l.acks[0].due)
	}
	return wakeInterval
}

// millisecondsTo is how long to wait until a time, so that it is over then.
func millisecondsTo(t time.Time) int { return int(max(0, time.Until(t)).Milliseconds()) + 1 }

// begin connects, sends the handshake and has the answer waited for.
func (l *loop) begin(o *opening, r retrial) error {
	p := &o.plan
	c := &conn{index: int32(r.i), number: int32(p.number(r.i)), v1: spread(r.i, p.V1, p.Count), round: -1}
	c.hand = &handshake{begin: time.Now(), attempt: r.attempt, bare: p.Bare}
	if o.kept != nil {
		c.at = &o.kept[r.i]
		c.acks = p.Acks && c.v1
	}
	if !p.Bare {
		token, err := o.token(r.i)
		if err != nil {
			return err
		}
		c.hand.unsent = o.dialers.to(r.i).request(token, c.v1)
	}
	fd, err := o.dialers.to(r.i).connect(o.dialers.source(r.i))
	if err != nil {
		return err
	}
	c.fd = int32(fd)
	l.conns[fd].Store(c)
	o.under++
	var more uint32
	switch err := c.request(); {
	case err != nil:
		l.drop(c, err.Error())
		return nil
	case p.Bare || len(c.hand.unsent) > 0:
		more = syscall.EPOLLOUT
	}
	return l.watch(syscall.EPOLL_CTL_ADD, fd, more)
}

// request writes what can be written of the request. A new socket has room for it, if it is connected.
func (c *conn) request() error {
	for len(c.hand.unsent) > 0 {
		n, err := syscall.Write(int(c.fd), c.hand.unsent)
		switch {
		case err == syscall.EAGAIN:
			return nil
		case err != nil && err != syscall.EINTR:
			return fmt.Errorf("send the handshake: %w", err)
		}
		c.hand.unsent = c.hand.unsent[max(n, 0):]
	}
	return nil
}

// writable goes on with a connection that was in progress when it was begun.
func (l *loop) writable(c *conn) {
	errno, err := syscall.GetsockoptInt(int(c.fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err == nil && errno != 0 {
		err = syscall.Errno(errno)
	}
	if err == nil {
		err = c.request()
	}
	if err == nil && len(c.hand.unsent) == 0 {
		err = l.watch(syscall.EPOLL_CTL_MOD, int(c.fd), 0)
	}
	switch {
	case err != nil:
		l.drop(c, err.Error())
	case c.hand.bare:
		l.opened(c)
	}
}

// answer takes a part of the answer to the handshake. A refused connection ends here.
func (l *loop) answer(c *conn, b []byte) {
	complete, ahead, refused := c.hand.feed(b)
	switch {
	case !complete:
	case refused != nil:
		l.fall(c, refused)
	default:
		l.opened(c)
		l.feed(c, ahead)
	}
}

// opened notes that a connection takes messages.
func (l *loop) opened(c *conn) {
	hand := c.hand
	c.hand = nil
	l.open.Add(1)
	if o := l.opening; o != nil {
		o.under--
		o.open++
		if !hand.bare {
			o.connected(time.Since(hand.begin))
		}
	}
}

// fall ends a connection whose handshake failed. When the server asked for it, it is tried again, with a new token.
func (l *loop) fall(c *conn, why error) {
	l.conns[c.fd].Store(nil)
	_ = syscall.Close(int(c.fd)) // it failed anyway
	o := l.opening
	if o == nil {
		return
	}
	o.under--
	o.refused()
	if !errors.Is(why, errLater) || c.hand.attempt == retryLimit {
		l.finish(fmt.Errorf("connection %d: %w", c.index, why))
		return
	}
	o.retried()
	o.again = append(o.again, retrial{int(c.index), c.hand.attempt + 1, time.Now().Add(retryPause)})
}

// expire ends the opening when a handshake has taken too long.
func (l *loop) expire(now time.Time) {
	for i := range l.conns {
		if c := l.conns[i].Load(); c != nil && c.hand != nil && now.Sub(c.hand.begin) > dialTimeout {
			l.fall(c, errors.New("no answer to the handshake"))
		}
	}
}
