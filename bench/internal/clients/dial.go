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
)

const (
	// dialTimeout bounds connecting, and the server's answer.
	dialTimeout = 30 * time.Second
	// maxHandshake bounds the answer's header, in bytes.
	maxHandshake = 8 << 10
	subprotocol  = "imtier.v1"
)

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

// dial connects, sends the handshake and returns a non-blocking descriptor on which the answer will come.
func (d *dialer) dial(token string, v1 bool) (fd int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := d.handshake(fd, token, v1); err != nil {
		_ = syscall.Close(fd) // the first error counts
		return -1, err
	}
	return fd, nil
}

// handshake blocks as long as connecting takes: on the loopback interface that is no waiting. Reading the answer is
// the loop's: a thread that waits for each costs the machine more than the connection does.
func (d *dialer) handshake(fd int, token string, v1 bool) error {
	limit := syscall.Timeval{Sec: int64(dialTimeout.Seconds())}
	err := errors.Join(
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &limit), // connect's too
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
	)
	if d.room > 0 { // before connecting: the window is agreed on then
		err = errors.Join(err, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, d.room))
	}
	if err != nil {
		return fmt.Errorf("socket options: %w", err)
	}
	if err := retry(func() error { return syscall.Connect(fd, &d.addr) }); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	req := d.request(token, v1)
	for len(req) > 0 {
		n, err := syscall.Write(fd, req)
		if err != nil && err != syscall.EINTR {
			return fmt.Errorf("send the handshake: %w", err)
		}
		req = req[max(n, 0):]
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("socket options: %w", err)
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
	header []byte
	done   chan error // takes one value; has room for it
}

func newHandshake() *handshake { return &handshake{done: make(chan error, 1)} }

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

func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
