package bare

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/imtier/imtier/bench/internal/procs"
)

// FanoutRole is the name of imbench's role as the bare loop.
const FanoutRole = "bare-fanout"

// Names of the operations.
const (
	opListen = "listen"
	opPlain  = "plain"
	opCount  = "count"
	opWrite  = "write"
)

// fanout is the bare server.
type fanout struct {
	listener net.Listener
	plain    atomic.Bool // clients make no handshake

	mu    sync.Mutex
	conns []net.Conn // keeps the descriptors open
	fds   []int
}

// newFanout listens on a free port and takes connections until its listener is closed.
func newFanout() (*fanout, error) {
	// As the imserver, without keep-alive probes: a million sockets would send 67,000 a second, and some would be lost so
	// often that the kernel gives their connections up.
	lc := net.ListenConfig{KeepAlive: -1}
	l, err := lc.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &fanout{listener: l}
	go f.accept()
	return f, nil
}

func (f *fanout) url() string { return socketURL(f.listener.Addr().String()) }

// WorkFanout is the server, driven through in and out.
func WorkFanout(in io.Reader, out io.Writer) error {
	f, err := newFanout()
	if err != nil {
		return err
	}
	defer f.listener.Close()
	return procs.Work(in, out, procs.Ops{
		opListen: func(json.RawMessage) (any, error) { return f.url(), nil },
		opPlain:  func(json.RawMessage) (any, error) { f.plain.Store(true); return nil, nil },
		opCount: func(json.RawMessage) (any, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return len(f.fds), nil
		},
		opWrite: func(raw json.RawMessage) (any, error) {
			var payload []byte
			if err := json.Unmarshal(raw, &payload); err != nil {
				return nil, err
			}
			return nil, f.write(textFrame(payload))
		},
	})
}

// accept takes connections until the listener is closed.
func (f *fanout) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		if f.plain.Load() {
			f.keep(c)
			continue
		}
		go f.shake(c)
	}
}

// keep adds a connection to those that are written to.
func (f *fanout) keep(c net.Conn) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		c.Close()
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, c)
	if raw.Control(func(fd uintptr) { f.fds = append(f.fds, int(fd)) }) != nil {
		c.Close()
	}
}

// shake answers a handshake. The client notices if that fails.
func (f *fanout) shake(c net.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		c.Close()
		return
	}
	f.keep(c)
	// RFC 6455 §4.2.2; a client that gets no answer says so.
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
}

// write is the plain loop.
func (f *fanout) write(frame []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fd := range f.fds {
		n, err := syscall.Write(fd, frame)
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if n < len(frame) {
			return errors.New("write: a socket has no room")
		}
	}
	return nil
}

// textFrame is one unmasked frame; the payload has at most 65,535 bytes.
func textFrame(payload []byte) []byte {
	b := []byte{0x81}
	if n := len(payload); n < 126 {
		b = append(b, byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	}
	return append(b, payload...)
}

// Fanout is the bare server in a process of its own.
type Fanout struct{ W *procs.Worker }

// URL is where clients connect.
func (f Fanout) URL() (string, error) {
	var url string
	err := f.W.Call(opListen, nil, &url)
	return url, err
}

// Plain says that clients will connect without a handshake: all that is measured is writing.
func (f Fanout) Plain() error { return f.W.Call(opPlain, nil, nil) }

// Connections is how many clients are connected.
func (f Fanout) Connections() (n int, err error) {
	err = f.W.Call(opCount, nil, &n)
	return n, err
}

// Write writes a frame with this payload to all connections.
func (f Fanout) Write(payload []byte) error { return f.W.Call(opWrite, payload, nil) }

// WriteAll has several servers write at the same time.
func WriteAll(servers []Fanout, payload []byte) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, f := range servers {
		wg.Go(func() { errs[i] = f.Write(payload) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
