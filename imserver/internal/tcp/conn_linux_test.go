package tcp

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/nettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// listen opens a listener that is closed with the test.
func listen(t *testing.T) *Listener {
	t.Helper()
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// pair makes a connection: the client's end, of package net, and ours.
func pair(t *testing.T, l *Listener) (net.Conn, *Conn, netip.AddrPort) {
	t.Helper()
	there, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here, from, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = there.Close(); _ = here.Close() })
	return there, here.(*Conn), from
}

// What everybody expects of a net.Conn, from either end.
func TestConnIsANetConn(t *testing.T) {
	for _, ours := range []string{"first", "second"} {
		t.Run(ours, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				there, here, _ := pair(t, listen(t))
				stop = func() { _ = there.Close(); _ = here.Close() }
				if ours == "first" {
					return here, there, stop, nil
				}
				return there, here, stop, nil
			})
		})
	}
}

// Nothing of all that is done for a connection that never has to wait.
func TestWhatNeverWaitsIsInNoPoller(t *testing.T) {
	there, here, from := pair(t, listen(t))
	if from.String() != there.LocalAddr().String() || here.RemoteAddr().String() != from.String() ||
		here.LocalAddr().String() != there.RemoteAddr().String() {
		t.Errorf("from %v, ends %v and %v", from, here.LocalAddr(), here.RemoteAddr())
	}
	delay := 0
	if err := here.With(func(fd int) (err error) {
		delay, err = syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
		return err
	}); err != nil || delay == 0 {
		t.Errorf("TCP_NODELAY is %d, %v", delay, err)
	}
	if n, err := here.TryRead(make([]byte, 8)); n != 0 || err != nil {
		t.Errorf("nothing has come, and TryRead says %d, %v", n, err)
	}
	if _, err := here.Write([]byte("hello")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(there, make([]byte, 5)); err != nil {
		t.Error(err)
	}
	if _, err := there.Write([]byte("answer")); err != nil {
		t.Error(err)
	}
	eventually(t, "the answer is read", func() bool {
		n, err := here.TryRead(make([]byte, 8))
		return n > 0 || err != nil
	})
	if err := errors.Join(here.SetDeadline(time.Time{}), here.CloseWrite()); err != nil {
		t.Error(err)
	}
	if n, err := there.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after CloseWrite the peer reads %d, %v", n, err)
	}
	if here.file != nil {
		t.Error("it is in Go's poller")
	}
	if err := here.Close(); err != nil {
		t.Error(err)
	}
	if _, err := there.Write([]byte("x")); err != nil { // the first finds out, a later one fails
		t.Error(err)
	}
}

func TestEndsOfAConn(t *testing.T) {
	there, here, _ := pair(t, listen(t))
	read := make(chan error, 1)
	go func() {
		_, err := here.Read(make([]byte, 1))
		read <- err
	}()
	eventually(t, "it waits", here.waits)
	if err := here.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read that waits: %v", err)
	}
	_, err := here.Read(make([]byte, 1))
	_, err2 := here.Write([]byte("x"))
	_, err3 := here.TryRead(make([]byte, 1))
	for _, err := range []error{err, err2, err3, here.Close(), here.CloseWrite(), here.SetReadDeadline(time.Now())} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	if here.RemoteAddr() != nil {
		t.Error("an address after Close")
	}
	_ = there.Close()

	there, here, _ = pair(t, listen(t))
	if err := here.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Error(err)
	}
	_, err = here.Read(make([]byte, 1))
	var ne net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("late: %v", err)
	}
	_ = there.(*net.TCPConn).SetLinger(0)
	_ = there.Close()
	for err = nil; err == nil; {
		_, err = here.TryRead(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &ne) {
		t.Errorf("reset: %v", err)
	}
}

func TestTheListenerCloses(t *testing.T) {
	l := listen(t)
	accepted := make(chan error, 1)
	go func() {
		_, _, err := l.Accept()
		accepted <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the port is still open")
	}
	if _, err := Listen("127.0.0.1:notaport"); err == nil {
		t.Error("listens on no port")
	}
}

func TestAddresses(t *testing.T) {
	v6 := netip.MustParseAddr("fe80::1")
	for _, tt := range []struct {
		sa   syscall.Sockaddr
		want string
	}{
		{&syscall.SockaddrInet4{Port: 80, Addr: [4]byte{192, 0, 2, 1}}, "192.0.2.1:80"},
		{&syscall.SockaddrInet6{Port: 80, Addr: netip.MustParseAddr("::ffff:192.0.2.1").As16()}, "192.0.2.1:80"},
		{&syscall.SockaddrInet6{Port: 80, Addr: v6.As16()}, "[fe80::1]:80"},
		{&syscall.SockaddrInet6{Port: 80, Addr: v6.As16(), ZoneId: 1}, "[fe80::1%lo]:80"},
		{&syscall.SockaddrInet6{Port: 80, Addr: v6.As16(), ZoneId: 1 << 30}, "[fe80::1%1073741824]:80"},
	} {
		if got := addrPort(tt.sa).String(); got != tt.want {
			t.Errorf("%+v is %s, want %s", tt.sa, got, tt.want)
		}
	}
}
