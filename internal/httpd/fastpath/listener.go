package fastpath

import (
	"context"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Listener; all are required.
type Options struct {
	// HeaderTime is how long a new connection may be silent, IdleTime how long one may be between two requests. The second
	// is kept to within a second.
	HeaderTime, IdleTime time.Duration
	// Log takes panics of handlers.
	Log *log.Logger
}

// Listener answers plain requests on a port. It is the net.Listener that a http.Server serves the rest from.
type Listener struct {
	port                 net.Listener
	handler              http.Handler
	log                  *log.Logger
	headerTime, idleTime time.Duration

	over chan net.Conn // those for net/http
	errs chan error    // of the port
	done chan struct{} // closed by Close
	once sync.Once

	draining atomic.Bool // the requests under way are the last; set with mu held
	mu       sync.Mutex
	here     map[*conn]struct{}
	running  sync.WaitGroup // a goroutine for each of here
}

// New returns a Listener of a port that is open. It starts nothing: call Run, or Close.
func New(port net.Listener, handler http.Handler, o Options) *Listener {
	return &Listener{
		port: port, handler: handler, log: o.Log, headerTime: o.HeaderTime, idleTime: o.IdleTime,
		over: make(chan net.Conn), errs: make(chan error), done: make(chan struct{}),
		here: make(map[*conn]struct{}),
	}
}

// Run accepts connections and answers their requests, until Close. ctx is the requests'; it stops nothing else. Run may be
// called once.
func (l *Listener) Run(ctx context.Context) {
	for {
		c, err := l.port.Accept()
		if err == nil {
			l.enter(ctx, c)
			continue
		}
		select {
		case l.errs <- err: // net/http pauses when there are no descriptors, and gives up when the port is lost
		case <-l.done:
			return
		}
	}
}

// enter serves a connection.
func (l *Listener) enter(ctx context.Context, nc net.Conn) {
	c := &conn{Conn: nc, l: l, remote: nc.RemoteAddr().String()}
	_ = c.SetReadDeadline(time.Now().Add(l.headerTime)) // fails only when closed; so does reading
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining.Load() {
		_ = c.Close()
		return
	}
	l.here[c] = struct{}{}
	l.running.Go(func() {
		c.serve(ctx)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.here, c)
	})
}

// handOver gives a connection to net/http, which sets times of its own, with what has been read of it.
func (l *Listener) handOver(c *conn, read []byte) {
	select {
	case l.over <- newAhead(c.Conn, read):
	case <-l.done:
		_ = c.Close()
	}
}

// Accept implements net.Listener: the next connection that is net/http's.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.over:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.port.Addr() }

// Close implements net.Listener: the port is free when it returns. Connections go on until Drain or Cut.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.port.Close()
}

// Drain closes the port and the connections without a request, and waits until the requests under way are answered or
// ctx ends. It may be called once.
func (l *Listener) Drain(ctx context.Context) {
	_ = l.Close() // again, perhaps
	l.end(func(c *conn) bool { return c.state.CompareAndSwap(idle, closed) })
	answered := make(chan struct{})
	go func() { l.running.Wait(); close(answered) }()
	select {
	case <-answered:
	case <-ctx.Done():
	}
}

// Cut closes the port and every connection. It does not wait for the requests under way, whose answers go nowhere. It may
// be called at any time and more than once.
func (l *Listener) Cut() {
	_ = l.Close() // again, perhaps
	l.end(func(*conn) bool { return true })
}

// end lets nobody in any more, and closes the connections that which is true for.
func (l *Listener) end(which func(*conn) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining.Store(true)
	for c := range l.here {
		if which(c) {
			_ = c.Close() // its goroutine finds out
		}
	}
}
