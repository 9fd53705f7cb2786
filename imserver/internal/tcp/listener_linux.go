package tcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
)

// Listener accepts connections.
type Listener struct {
	addr net.Addr
	file *os.File // Go's poller tells when somebody has come
	raw  syscall.RawConn
}

// Listen opens addr (host:port; port 0 takes a free one).
func Listen(addr string) (*Listener, error) {
	// Connections inherit the options of their listener: nothing has to be set for each. Without TCP_NODELAY a small frame would
	// wait for the acknowledgement of the one before. Keep-alive probes are off: who holds connections pings.
	lc := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) (err error) {
		closed := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		})
		return errors.Join(err, closed)
	}}
	l, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer l.Close() // the file is a descriptor of its own; net's listeners let nobody else accept
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close() // nobody has used it
		return nil, err
	}
	return &Listener{l.Addr(), file, raw}, nil
}

// Addr is the address in use, with the port that was chosen.
func (l *Listener) Addr() net.Addr { return l.addr }

// Close frees the port. Accept returns net.ErrClosed.
func (l *Listener) Close() error { return netError(l.file.Close()) }

// Accept waits for the next connection, and returns it with the address that it comes from. After Close the error is
// net.ErrClosed.
func (l *Listener) Accept() (net.Conn, netip.AddrPort, error) {
	var fd int
	var from syscall.Sockaddr
	var err error
	closed := l.raw.Read(func(listener uintptr) bool {
		for {
			fd, from, err = syscall.Accept4(int(listener), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			switch err {
			case syscall.EINTR, syscall.ECONNABORTED: // gone before it was accepted
			case syscall.EAGAIN:
				return false
			default:
				return true
			}
		}
	})
	if closed != nil {
		return nil, netip.AddrPort{}, net.ErrClosed
	}
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	return &Conn{fd: int32(fd)}, addrPort(from), nil
}

// addrPort is an address of IPv4 as such, however the listener sees it.
func addrPort(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		a := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 && a.Is6() {
			a = a.WithZone(zone(sa.ZoneId))
		}
		return netip.AddrPortFrom(a, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// zone is the name of an interface, which tells link-local addresses apart.
func zone(index uint32) string {
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return strconv.FormatUint(uint64(index), 10)
}
