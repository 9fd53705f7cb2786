package proxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Mode is what a proxy does with what passes.
type Mode int

const (
	Pass  Mode = iota // forwards
	Drop              // keeps connections open, takes new ones, and lets nothing through until the next mode
	Reset             // resets connections, and new ones at once
)

const (
	dialTimeout = 2 * time.Second // to the target; longer than the loopback ever takes
	chunk       = 32 << 10        // bytes read at once
)

// Proxy forwards connections to a target. It is safe for concurrent use.
type Proxy struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	mode    Mode
	delay   time.Duration
	changed chan struct{} // closed when mode changes
	conns   map[net.Conn]struct{}
	closed  bool
	buffer  int // bytes; see Narrow
}

// Listen opens a proxy on addr. Close ends it.
func Listen(addr, target string) (*Proxy, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("proxy to %s: %w", target, err)
	}
	p := &Proxy{target: target, listener: l, changed: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set changes the mode, also for open connections.
func (p *Proxy) Set(m Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	close(p.changed)
	p.changed = make(chan struct{})
	if m == Reset {
		p.resetAll()
	}
}

// Delay makes everything that passes wait, in each direction; 0 ends it.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Narrow makes the kernel keep no more than about so many bytes of what the target sends, at each side of the proxy, on connections that
// are made from now on.
func (p *Proxy) Narrow(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buffer = bytes
}

// Close ends all connections and waits for the proxy's goroutines.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	close(p.changed)
	p.changed = make(chan struct{})
	p.resetAll()
	p.mu.Unlock()
	p.listener.Close()
	p.wg.Wait()
}

// resetAll cuts every connection without a farewell. The caller holds mu.
func (p *Proxy) resetAll() {
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // closing then sends a reset
		}
		c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

// add takes a connection into the set; it refuses, and resets it, when there must be none.
func (p *Proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	if p.closed || p.mode == Reset {
		p.resetAll()
		delete(p.conns, c)
		return false
	}
	return true
}

func (p *Proxy) remove(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	c.Close()
}

func (p *Proxy) serve(down net.Conn) {
	if !p.add(down) {
		return
	}
	defer p.remove(down)
	if !p.passing() { // a handshake through a dead network does not get this far, but no answer comes either way
		return
	}
	up, err := net.DialTimeout("tcp", p.target, dialTimeout)
	if err != nil {
		return
	}
	if !p.add(up) {
		return
	}
	defer p.remove(up)
	p.narrow(up, down)
	var wg sync.WaitGroup
	wg.Go(func() { p.copy(up, down) })
	wg.Go(func() { p.copy(down, up) })
	wg.Wait()
}

func (p *Proxy) narrow(up, down net.Conn) {
	p.mu.Lock()
	bytes := p.buffer
	p.mu.Unlock()
	if bytes == 0 {
		return
	}
	if tcp, ok := up.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(bytes) // a wide one is merely slower to show
	}
	if tcp, ok := down.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(bytes)
	}
}

// copy forwards one direction until it ends; then it ends the other one too. What was read when the proxy fell silent is
// forwarded afterwards: TCP loses nothing, it repeats.
func (p *Proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, chunk)
	for {
		n, err := from.Read(buf)
		if !p.passing() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// passing waits for the delay, and until the proxy lets data through. It reports false when the connection is over.
func (p *Proxy) passing() bool {
	p.mu.Lock()
	delay := p.delay
	p.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay) //nolint:forbidigo // the delay is what is asked for
	}
	for {
		p.mu.Lock()
		mode, changed, closed := p.mode, p.changed, p.closed
		p.mu.Unlock()
		switch {
		case closed || mode == Reset:
			return false
		case mode == Pass:
			return true
		}
		<-changed
	}
}
