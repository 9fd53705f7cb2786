package clients

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"
	"time"

	"github.com/imtier/imtier/bench/internal/machine"
)

const (
	// dialTimeout bounds connecting and the server's answer.
	dialTimeout = 30 * time.Second
	// maxHandshake bounds the answer's header, in bytes.
	maxHandshake = 8 << 10
	subprotocol  = "imtier.v1"
)

// dialers open a plan's connections.
type dialers struct {
	servers []*dialer
	sources []*syscall.SockaddrInet4
}

func newDialers(p Plan) (d dialers, err error) {
	urls := p.URLs
	if len(urls) == 0 {
		urls = []string{p.URL}
	}
	for _, u := range urls {
		to, err := newDialer(u, p.Room)
		if err != nil {
			return d, err
		}
		d.servers = append(d.servers, to)
	}
	d.sources, err = sources(p.Count/len(d.servers), d.servers[0])
	return d, err
}

// sources are where so many connections to a server on this machine come from: with most of an address's ports in use,
// the kernel takes a hundred times as long to find a free one as it takes to connect.
func sources(connections int, to *dialer) (out []*syscall.SockaddrInet4, err error) {
	if ip := net.IP(to.addr.Addr[:]); !ip.IsLoopback() {
		return nil, nil
	}
	ports, err := machine.Ports()
	if err != nil {
		return nil, err
	}
	for _, text := range machine.Sources(connections, ports) {
		out = append(out, &syscall.SockaddrInet4{Addr: [4]byte(net.ParseIP(text).To4())})
	}
	return out, nil
}

// to opens the i-th connection.
func (d *dialers) to(i int) *dialer { return d.servers[i%len(d.servers)] }

// source is where the i-th connection comes from; nil: the kernel's choice. All connections of a source to one
// address need different ports.
func (d *dialers) source(i int) *syscall.SockaddrInet4 {
	if len(d.sources) == 0 {
		return nil
	}
	return d.sources[i/len(d.servers)%len(d.sources)]
}

// ipBindAddressNoPort is IP_BIND_ADDRESS_NO_PORT of <linux/in.h>: the port is chosen when connecting, so that it may be
// that of a connection to another address.
const ipBindAddressNoPort = 24

func bind(fd int, source *syscall.SockaddrInet4) error {
	err := syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, ipBindAddressNoPort, 1)
	if err == nil {
		err = syscall.Bind(fd, source)
	}
	if err != nil {
		return fmt.Errorf("connect from %v: %w", net.IP(source.Addr[:]), err)
	}
	return nil
}

// dialer opens connections to one address.
type dialer struct {
	addr syscall.SockaddrInet4
	host string
	path string
	room int // bytes of a socket's receive buffer; 0: what the kernel thinks right
}

func newDialer(rawURL string, room int) (*dialer, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	tcp, err := net.ResolveTCPAddr("tcp4", u.Host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", u.Host, err)
	}
	d := &dialer{host: u.Host, path: u.Path, room: room}
	d.addr.Port = tcp.Port
	copy(d.addr.Addr[:], tcp.IP.To4())
	return d, nil
}

// connect returns a descriptor that is connected or about to be. Nothing blocks: on the loopback interface the connection is
// there when connect(2) returns, though that says that it is in progress, unless the listener's queue is full.
func (d *dialer) connect(source *syscall.SockaddrInet4) (fd int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := d.join(fd, source); err != nil {
		_ = syscall.Close(fd) // the first error counts
		return -1, err
	}
	return fd, nil
}

func (d *dialer) join(fd int, source *syscall.SockaddrInet4) error {
	err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if d.room > 0 { // before connecting: the window is agreed on then
		err = errors.Join(err, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, d.room))
	}
	if err != nil {
		return fmt.Errorf("socket options: %w", err)
	}
	if source != nil {
		if err := bind(fd, source); err != nil {
			return err
		}
	}
	if err := syscall.Connect(fd, &d.addr); err != nil && err != syscall.EINPROGRESS && err != syscall.EINTR {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

func (d *dialer) request(token string, v1 bool) []byte {
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails
	b := fmt.Appendf(nil, "GET %s?token=%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
		d.path, token, d.host, base64.StdEncoding.EncodeToString(key[:]))
	if v1 {
		b = append(b, "Sec-WebSocket-Protocol: "+subprotocol+"\r\n"...)
	}
	return append(b, "\r\n"...)
}

// handshake is a connection's state until the server has answered.
type handshake struct {
	unsent  []byte // of the request
	header  []byte // of the answer
	begin   time.Time
	attempt int  // how often the client was told to come again
	bare    bool // there is none: being connected is all
}

// feed takes what came. When the header is complete it returns true, what came behind it, and why the server refused, if it did.
func (h *handshake) feed(b []byte) (complete bool, ahead []byte, refused error) {
	h.header = append(h.header, b...)
	header, ahead, complete := bytes.Cut(h.header, []byte("\r\n\r\n"))
	switch {
	case complete:
		return true, ahead, refusal(header)
	case len(h.header) > maxHandshake:
		return true, nil, errors.New("the answer to the handshake has no end")
	}
	return false, nil, nil
}

// errLater is wrapped when the server asks to come again.
var errLater = errors.New("refused for now")

// refusal is what a header says, nil when the connection is a WebSocket.
func refusal(header []byte) error {
	status, _, _ := bytes.Cut(header, []byte("\r\n"))
	switch {
	case bytes.HasPrefix(status, []byte("HTTP/1.1 101 ")):
		return nil
	case bytes.HasPrefix(status, []byte("HTTP/1.1 503 ")):
		return fmt.Errorf("%w: %s", errLater, status)
	}
	return fmt.Errorf("refused: %s", status)
}
