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
)

const (
	// dialTimeout bounds each read and write of a handshake, in seconds.
	dialTimeout = 30
	// maxHandshake bounds the answer's header, in bytes.
	maxHandshake = 8 << 10
	subprotocol  = "imtier.v1"
)

// dialer opens connections to one address.
type dialer struct {
	addr syscall.SockaddrInet4
	host string
	path string
}

func newDialer(rawURL string) (*dialer, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	tcp, err := net.ResolveTCPAddr("tcp4", u.Host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", u.Host, err)
	}
	d := &dialer{host: u.Host, path: u.Path}
	d.addr.Port = tcp.Port
	copy(d.addr.Addr[:], tcp.IP.To4())
	return d, nil
}

// dial returns a non-blocking descriptor after the handshake, and what the server sent behind its answer.
func (d *dialer) dial(token string, v1 bool) (fd int, ahead []byte, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, fmt.Errorf("socket: %w", err)
	}
	ahead, err = d.handshake(fd, token, v1)
	if err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		_ = syscall.Close(fd) // the first error counts
		return -1, nil, err
	}
	return fd, ahead, nil
}

func (d *dialer) handshake(fd int, token string, v1 bool) ([]byte, error) {
	limit := syscall.Timeval{Sec: dialTimeout}
	err := errors.Join(
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &limit),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
	)
	if err != nil {
		return nil, fmt.Errorf("socket options: %w", err)
	}
	if err := retry(func() error { return syscall.Connect(fd, &d.addr) }); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	req := d.request(token, v1)
	for len(req) > 0 {
		n, err := syscall.Write(fd, req)
		if err != nil && err != syscall.EINTR {
			return nil, fmt.Errorf("send the handshake: %w", err)
		}
		req = req[max(n, 0):]
	}
	return answer(fd)
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

// answer reads the server's header and returns what came behind it.
func answer(fd int) ([]byte, error) {
	buf := make([]byte, 0, 512)
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= maxHandshake {
				return nil, errors.New("the answer to the handshake has no end")
			}
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := syscall.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return nil, fmt.Errorf("read the answer to the handshake: %w", err)
		case n == 0:
			return nil, errors.New("the server closed during the handshake")
		}
		buf = buf[:len(buf)+n]
		if header, ahead, ok := bytes.Cut(buf, []byte("\r\n\r\n")); ok {
			return bytes.Clone(ahead), refusal(header)
		}
	}
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
