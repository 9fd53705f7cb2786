package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs an echo server and a proxy in front of it, and connects.
func start(t *testing.T) (*Proxy, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // ends with the connection
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	p, err := Listen("127.0.0.1:0", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, dial(t, p)
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b, err, want)
	}
}

func TestDropKeepsWhatWasSent(t *testing.T) {
	p, c := start(t)
	write(t, c, "before")
	read(t, c, "before")
	p.Set(Drop)
	write(t, c, "during")
	c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v; want nothing", n, err)
	}
	late := dial(t, p) // a connection that is made meanwhile is silent too
	write(t, late, "late")
	p.Set(Pass)
	read(t, c, "during")
	read(t, late, "late")
}

func TestResetCutsAndRefuses(t *testing.T) {
	p, c := start(t)
	write(t, c, "x")
	read(t, c, "x")
	p.Set(Reset)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an open connection: %v, want a reset", err)
	}
	late, err := net.Dial("tcp", p.Addr())
	if err == nil { // else the reset was there before the handshake was over
		defer late.Close()
		late.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err = late.Read(make([]byte, 1))
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a new connection: %v, want a reset", err)
	}
	p.Set(Pass)
	again := dial(t, p)
	write(t, again, "y")
	read(t, again, "y")
}

func TestDelayWaits(t *testing.T) {
	p, c := start(t)
	p.Delay(50 * time.Millisecond)
	begin := time.Now()
	write(t, c, "x")
	read(t, c, "x")
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("there and back took %v, want at least twice 50ms", took)
	}
}
