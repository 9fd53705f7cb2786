package redistest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Switch is an address that leads to one server at a time, as that of a Sentinel set's master does.
type Switch struct {
	l  net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	to    *Server // nil: nowhere
	conns map[net.Conn]bool
}

// NewSwitch makes one that leads to a server. It ends with the test.
func NewSwitch(t testing.TB, to *Server) *Switch {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Switch{l: l, to: to, conns: make(map[net.Conn]bool)}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.forward(c) })
		}
	})
	t.Cleanup(func() { l.Close(); s.Turn(nil); s.wg.Wait() })
	return s
}

// URL is the address as store.Options wants it.
func (s *Switch) URL() string { return "redis://" + s.l.Addr().String() }

// Turn leads to another server, nil to none, and cuts all connections.
func (s *Switch) Turn(to *Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = to
	for c := range s.conns {
		c.Close()
	}
	clear(s.conns)
}

func (s *Switch) forward(c net.Conn) {
	defer c.Close()
	s.mu.Lock()
	to := s.to
	s.mu.Unlock()
	if to == nil {
		return
	}
	up, err := net.DialTimeout("tcp", to.Addr, dialTimeout)
	if err != nil {
		return
	}
	defer up.Close()
	if !s.keep(to, c, up) {
		return
	}
	s.wg.Go(func() {
		defer up.Close()
		_, _ = io.Copy(up, c) // it ends with one of the two
	})
	_, _ = io.Copy(c, up)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	delete(s.conns, up)
}

// keep notes connections to be cut, unless the way leads elsewhere by now.
func (s *Switch) keep(to *Server, conns ...net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to != to {
		return false
	}
	for _, c := range conns {
		s.conns[c] = true
	}
	return true
}
