package fastpath

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Whose a connection is at the moment.
const (
	idle   int32 = iota // the client's: it may send a request
	busy                // ours: a request has come
	closed              // nobody's
)

// renewal is how exactly the time for the next request is kept: setting a timer for each costs more than it is worth.
const renewal = time.Second

// inputs are buffers for requests, used again by later connections.
var inputs = sync.Pool{New: func() any { return new([maxRequest]byte) }}

// conn is a connection with plain requests so far. Its goroutine is the only one that reads and writes it; the Listener
// may close it.
type conn struct {
	net.Conn
	l       *Listener
	remote  string
	state   atomic.Int32
	renewed time.Time // when the time for the next request began, roughly
	last    *head     // of the request before; nil: there was none
}

// serve answers requests until one comes that is not plain, or none.
func (c *conn) serve(ctx context.Context) {
	in := inputs.Get().(*[maxRequest]byte)
	defer inputs.Put(in)
	for {
		n, err := c.Read(in[:])
		if !c.state.CompareAndSwap(idle, busy) {
			return // closed by Drain
		}
		if err != nil {
			_ = c.Close() // it went away, or was silent for too long
			return
		}
		if !c.answerAll(ctx, in[:n]) {
			return
		}
		c.state.Store(idle)
		if c.l.draining.Load() && c.state.CompareAndSwap(idle, closed) {
			_ = c.Close()
			return
		}
	}
}

// answerAll answers the requests in b. It is false when the connection has gone to net/http, with what could not be
// answered, or is closed.
func (c *conn) answerAll(ctx context.Context, b []byte) bool {
	for len(b) > 0 {
		r, size := c.next(ctx, b)
		if r == nil {
			c.l.handOver(c, b)
			return false
		}
		if !c.answer(r) {
			_ = c.Close()
			return false
		}
		b = b[size:]
	}
	return true
}

// next is the request that b begins with; size is how many bytes it has. It is nil when it is not there to its end, or
// not plain.
func (c *conn) next(ctx context.Context, b []byte) (r *http.Request, size int) {
	start, length, same := c.last.begins(b)
	if !same {
		h := parseHead(b)
		if h == nil {
			return nil, 0
		}
		h.request = h.request.WithContext(ctx)
		h.request.RemoteAddr = c.remote
		c.last = h
		start, length, _ = h.begins(b)
	}
	if size = start + length; size > len(b) {
		return nil, 0
	}
	return newRequest(c.last, b[:size], start), size
}

// answer lets the handler answer a request. It is false when no other can follow.
func (c *conn) answer(r *http.Request) (more bool) {
	defer func() {
		_ = r.Body.Close() // its bytes will be another request's
		if p := recover(); p != nil {
			if err, is := p.(error); !is || !errors.Is(err, http.ErrAbortHandler) {
				c.l.log.Printf("panic serving %v: %v\n%s", c.remote, p, debug.Stack())
			}
			more = false // half an answer helps nobody
		}
	}()
	a := answers.Get().(*answer)
	c.l.handler.ServeHTTP(a, r)
	now := time.Now()
	last := c.l.draining.Load() || a.close()
	_, err := c.Write(a.bytes(now, last))
	a.release()
	c.renew(now)
	return err == nil && !last
}

// renew lets the time for the next request begin.
func (c *conn) renew(now time.Time) {
	if now.Sub(c.renewed) > renewal {
		c.renewed = now
		_ = c.SetReadDeadline(now.Add(c.l.idleTime)) // fails only when closed; so does reading
	}
}
