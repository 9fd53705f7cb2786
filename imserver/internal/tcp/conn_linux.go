package tcp

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is a connection that a Listener accepted. A net.Conn of package net has some 300 bytes in five objects, 200 more in Go's
// poller, and costs a system call to get there; this has 24 bytes, and none of that until a call has to wait or a
// deadline is set. Then it stays there.
type Conn struct {
	mu     sync.Mutex
	fd     int32
	closed bool
	file   *os.File // the same descriptor in Go's poller; nil until then
}

// With calls f with the descriptor, which stays open until f returns.
func (c *Conn) With(f func(fd int) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return f(int(c.fd))
}

// TryRead reads what has come: 0 and no error when that is nothing.
func (c *Conn) TryRead(p []byte) (n int, err error) {
	err = c.With(func(fd int) (err error) {
		n, err = RecvNow(fd, p)
		return err
	})
	return n, err
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (n int, err error) {
	if !c.waits() {
		if n, err = c.TryRead(p); n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
	f, err := c.waiting()
	if err != nil {
		return 0, err
	}
	n, err = f.Read(p)
	return n, netError(err)
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (n int, err error) {
	if !c.waits() {
		err = c.With(func(fd int) (err error) {
			n, err = SendNow(fd, p)
			return err
		})
		if err != nil || n == len(p) {
			return n, err
		}
	}
	f, err := c.waiting()
	if err != nil {
		return n, err
	}
	more, err := f.Write(p[n:])
	return n + more, netError(err)
}

// waits tells whether the connection is in Go's poller: a deadline may have been set, or another call may be waiting.
func (c *Conn) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file != nil
}

// waiting returns the connection in Go's poller.
func (c *Conn) waiting() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	if c.file == nil {
		c.file = os.NewFile(uintptr(c.fd), "tcp")
	}
	return c.file, nil
}

// netError turns the error of a file into what package net would say.
func netError(err error) error {
	var pe *fs.PathError
	switch {
	case errors.Is(err, os.ErrClosed):
		return net.ErrClosed
	case errors.As(err, &pe):
		return pe.Err
	}
	return err
}

// Close implements net.Conn. Calls that wait return net.ErrClosed.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if c.file != nil {
		return c.file.Close()
	}
	return syscall.Close(int(c.fd))
}

// CloseWrite tells the peer that nothing more comes.
func (c *Conn) CloseWrite() error {
	return c.With(func(fd int) error { return syscall.Shutdown(fd, syscall.SHUT_WR) })
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.limit((*os.File).SetReadDeadline, t) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.limit((*os.File).SetWriteDeadline, t) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.limit((*os.File).SetDeadline, t) }

// limit sets a deadline. A connection that is not in Go's poller has none to take back.
func (c *Conn) limit(set func(*os.File, time.Time) error, t time.Time) error {
	if t.IsZero() && !c.waits() {
		return nil
	}
	f, err := c.waiting()
	if err != nil {
		return err
	}
	return netError(set(f, t))
}

// LocalAddr implements net.Conn; nil when the connection is closed.
func (c *Conn) LocalAddr() net.Addr { return c.addr(syscall.Getsockname) }

// RemoteAddr implements net.Conn; nil when the connection is closed.
func (c *Conn) RemoteAddr() net.Addr { return c.addr(syscall.Getpeername) }

func (c *Conn) addr(get func(int) (syscall.Sockaddr, error)) (a net.Addr) {
	_ = c.With(func(fd int) error { // fails only when closed
		if sa, err := get(fd); err == nil {
			a = net.TCPAddrFromAddrPort(addrPort(sa))
		}
		return nil
	})
	return a
}
