package imserver

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

// lateNews forwards connections to Redis. It can hold back what Redis says on those that have subscribed to something.
type lateNews struct {
	net.Listener
	target string
	wg     sync.WaitGroup

	mu   sync.Mutex
	cond *sync.Cond
	held bool
}

func newLateNews(t *testing.T, target string) *lateNews {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &lateNews{Listener: l, target: target}
	p.cond = sync.NewCond(&p.mu)
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.forward(c) })
		}
	})
	t.Cleanup(func() { p.hold(false); l.Close(); p.wg.Wait() }) // the node has closed its connections before
	return p
}

func (p *lateNews) url() string { return "redis://" + p.Addr().String() }

func (p *lateNews) hold(held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = held
	p.cond.Broadcast()
}

func (p *lateNews) forward(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	news := false // guarded by mu
	p.wg.Go(func() {
		defer up.Close()
		_ = p.copy(up, c, func(b []byte) {
			p.mu.Lock()
			defer p.mu.Unlock()
			news = news || bytes.Contains(b, []byte("SUBSCRIBE"))
		})
	})
	_ = p.copy(c, up, func([]byte) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for news && p.held {
			p.cond.Wait()
		}
	})
}

// copy calls before with what it is going to pass on.
func (p *lateNews) copy(dst io.Writer, src io.Reader, before func([]byte)) error {
	b := make([]byte, 32<<10)
	for {
		n, err := src.Read(b)
		if n > 0 {
			before(b[:n])
			if _, err := dst.Write(b[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// A node that hears late who has left does not give what was sent afterwards, although it reads it from the log.
func TestNewsOfALeaveComesLate(t *testing.T) {
	redis := redistest.Start(t)
	news := newLateNews(t, redis.Addr)
	n := start(t, news.url())
	st := open(t, redis.URL())
	p := publisher{t, st}
	k := dialOnly(t, n.url+sign(t, ticket.Claims{ClientID: "ann", Groups: []string{"chess"}}))
	other := n.connect(true, ticket.Claims{ClientID: "bob", Groups: []string{"chess"}})
	p.group("before", "chess")
	other.expect("before")

	news.hold(true)
	if _, err := st.Leave(context.Background(), "chess", []string{"ann"}); err != nil {
		t.Fatal(err)
	}
	p.group("after", "chess")
	k.start(nil)
	k.expect("before")
	news.hold(false)
	other.expect("before", "after")
	k.wait("left", func(all []frame) bool {
		return slices.ContainsFunc(all, func(f frame) bool { return f.Type == "left" })
	})
	p.inbox("direct", "ann")
	k.expect("before", "direct")
}
