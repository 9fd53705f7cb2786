package fastpath

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"
)

// slow is a handler that tells when a request has come and waits for leave to answer.
type slow struct{ arrived, release chan struct{} }

func newSlow() *slow { return &slow{make(chan struct{}), make(chan struct{})} }

func (s *slow) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/slow" {
		s.arrived <- struct{}{}
		<-s.release
	}
	_, _ = io.WriteString(w, r.URL.Path)
}

func TestDrain(t *testing.T) {
	h := newSlow()
	s := start(t, h.serve)
	under, quiet, silent := dial(t, s.Addr()), dial(t, s.Addr()), dial(t, s.Addr())
	quiet.send(post("/", ""))
	quiet.want("/")
	under.send(post("/slow", ""))
	<-h.arrived
	drained := make(chan struct{})
	go func() { defer close(drained); s.Drain(t.Context()) }()
	quiet.wantEnd()
	silent.wantEnd()
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
	select {
	case <-drained:
		t.Fatal("a request is under way")
	default:
	}
	close(h.release)
	if got := under.hear(); got.body != "/slow" || !got.close {
		t.Errorf("got %+v", got)
	}
	under.wantEnd()
	<-drained
}

// writing is a port whose connections call a function before they write.
type writing struct {
	net.Listener
	before func()
}

type writingConn struct {
	net.Conn
	before func()
}

func (p *writing) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	return &writingConn{c, p.before}, err
}
func (c *writingConn) Write(b []byte) (int, error) { c.before(); return c.Conn.Write(b) }

// A connection that was busy when Drain looked, and already knew that another request may follow, is closed as well.
func TestDrainWhileAnswering(t *testing.T) {
	drained := make(chan struct{})
	port := &writing{Listener: openPort(t)}
	l := New(port, http.HandlerFunc(which), Options{HeaderTime: patience, IdleTime: patience, Log: log.Default()})
	port.before = sync.OnceFunc(func() {
		go func() { defer close(drained); l.Drain(t.Context()) }()
		for end := time.Now().Add(patience); !l.draining.Load() && time.Now().Before(end); runtime.Gosched() {
		}
		l.mu.Lock() // it has looked
		defer l.mu.Unlock()
	})
	go l.Run(t.Context())
	defer l.Cut()
	c := dial(t, l.Addr())
	c.send(post("/a", ""))
	if got := c.hear(); got.body != "fastpath /a " || got.close {
		t.Errorf("got %+v", got)
	}
	c.wantEnd()
	<-drained
}

// What was in the port's queue when it was closed is not served.
func TestComingTooLate(t *testing.T) {
	l := New(openPort(t), http.HandlerFunc(which), Options{HeaderTime: patience, IdleTime: patience, Log: log.Default()})
	c := dial(t, l.Addr())
	theirs, err := l.port.Accept()
	if err != nil {
		t.Fatal(err)
	}
	l.Cut()
	l.enter(t.Context(), theirs)
	c.wantEnd()
}

func TestCut(t *testing.T) {
	h := newSlow()
	s := start(t, h.serve)
	c := dial(t, s.Addr())
	c.send(post("/slow", ""))
	<-h.arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Drain(ctx) // has no time
	s.Cut()
	s.Cut()
	c.wantEnd()
	close(h.release)
	s.running.Wait()
}

func TestClosedBeforeItRuns(t *testing.T) {
	port := openPort(t)
	l := New(port, nil, Options{})
	if l.Addr() != port.Addr() {
		t.Error("it has another address")
	}
	l.Cut()
	l.Run(t.Context())
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}

// brokenPort fails once, then works.
type brokenPort struct {
	net.Listener
	failed bool
}

var errBroken = errors.New("out of descriptors")

func (p *brokenPort) Accept() (net.Conn, error) {
	if !p.failed {
		p.failed = true
		return nil, errBroken
	}
	return p.Listener.Accept()
}

// net/http decides what becomes of a port that fails: it pauses or gives up.
func TestThePortFails(t *testing.T) {
	l := New(&brokenPort{Listener: openPort(t)}, http.HandlerFunc(which), Options{HeaderTime: patience, IdleTime: patience, Log: log.Default()})
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(t.Context()) })
	defer wg.Wait()
	defer l.running.Wait()
	defer l.Cut()
	if _, err := l.Accept(); !errors.Is(err, errBroken) {
		t.Errorf("Accept: %v", err)
	}
	c := dial(t, l.Addr())
	c.send(post("/a", ""))
	c.want("fastpath /a ")
}
