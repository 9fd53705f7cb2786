//go:build !linux

package tcp

import (
	"context"
	"net"
	"net/netip"
)

// Listener accepts connections.
type Listener struct{ net.Listener }

// Listen opens addr (host:port; port 0 takes a free one).
func Listen(addr string) (*Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1} // who holds connections pings
	l, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Listener{l}, nil
}

// Accept waits for the next connection, and returns it with the address that it comes from. After Close the error is
// net.ErrClosed.
func (l *Listener) Accept() (net.Conn, netip.AddrPort, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	return c, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), nil
}
