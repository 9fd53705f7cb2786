package socket

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/imtier/imtier/imserver/internal/tcp/tcptest"
	"github.com/imtier/imtier/pkg/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience of tests: how long something may take on a busy machine.
const patience = 30 * time.Second

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// recorder is a Handler that writes down what it is told.
type recorder struct {
	over chan struct{} // closed by the first Closed; connect makes it

	mu      sync.Mutex
	msgs    []string // "t:" or "b:" and the data
	frames  int
	rooms   int
	closing int
	closed  []protocol.Reason
	message func(text bool, data []byte) // besides, when set before Serve
	frame   func()
	room    func()
}

func (r *recorder) Message(text bool, data []byte) {
	kind := "b:"
	if text {
		kind = "t:"
	}
	r.mu.Lock()
	r.msgs = append(r.msgs, kind+string(data))
	r.mu.Unlock()
	if r.message != nil {
		r.message(text, data)
	}
}

func (r *recorder) Frame(int) {
	r.mu.Lock()
	r.frames++
	r.mu.Unlock()
	if r.frame != nil {
		r.frame()
	}
}

func (r *recorder) Room() {
	r.mu.Lock()
	r.rooms++
	r.mu.Unlock()
	if r.room != nil {
		r.room()
	}
}

func (r *recorder) Closing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closing++
}

func (r *recorder) Closed(why protocol.Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.closed) == 0 {
		close(r.over)
	}
	r.closed = append(r.closed, why)
}

func (r *recorder) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.msgs...)
}

func (r *recorder) count(what *int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *what
}

func (r *recorder) reasons() []protocol.Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]protocol.Reason(nil), r.closed...)
}

// setup is what a test wants of a connection; the zero value is an ordinary one.
type setup struct {
	o        Options
	sndbuf   int           // of the server's side, bytes; the kernel doubles it
	rcvbuf   int           // of the client's side
	patience time.Duration // instead of frameTimeout
	early    []byte        // sent together with the handshake
	hold     bool          // the caller calls Serve
	handler  *recorder
	wrap     func(net.Conn) net.Conn // the server's connection, as net/http gets it
	alone    bool                    // without a Parker
}

// peer is the client's side of a connection, at the level of frames.
type peer struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

type listener struct {
	net.Listener
	s setup
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.s.sndbuf > 0 {
		if err := c.(*net.TCPConn).SetWriteBuffer(l.s.sndbuf); err != nil {
			return nil, err
		}
	}
	if l.s.wrap != nil {
		c = l.s.wrap(c)
	}
	return c, nil
}

// connect makes a connection over loopback TCP. Everything is closed when the test ends.
func connect(t *testing.T, su setup) (*peer, *Socket, *recorder) {
	t.Helper()
	if su.o.MaxMessage == 0 {
		su.o.MaxMessage = 64 << 10
	}
	if su.o.OutboxCap == 0 {
		su.o.OutboxCap = 64 << 10
	}
	if !su.alone {
		su.o.Parker = tcptest.StartParker(t)
	}
	rec := su.handler
	if rec == nil {
		rec = &recorder{}
	}
	rec.over = make(chan struct{})
	su.o.Handler = rec
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socks := make(chan *Socket, 1)
	srv := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := upgrade(w, r, su.o)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			close(socks)
			return
		}
		if su.patience > 0 {
			s.patience = su.patience
		}
		if !su.hold {
			s.Serve()
		}
		socks <- s
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(listener{inner, su})
	}()
	t.Cleanup(func() { srv.Close(); <-served })

	p := dial(t, inner.Addr().String(), su)
	s := <-socks
	if s == nil {
		t.FailNow()
	}
	t.Cleanup(func() {
		s.Kill()
		select {
		case <-rec.over:
		case <-time.After(patience):
			t.Error("the socket did not end")
		}
	})
	return p, s, rec
}

// dial does the handshake.
func dial(t *testing.T, addr string, su setup) *peer {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if su.rcvbuf == 0 {
			return nil
		}
		return errors.Join(err, c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, su.rcvbuf)
		}))
	}}
	c, err := d.DialContext(context.Background(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * patience))
	hello := "GET /ws HTTP/1.1\r\nHost: " + addr + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n" +
		"Sec-WebSocket-Protocol: " + Subprotocol + "\r\n\r\n"
	if _, err := c.Write(append([]byte(hello), su.early...)); err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, Conn: c, r: bufio.NewReaderSize(c, 512)}
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %s", resp.Status)
	}
	return p
}

// frame is one frame as it stands on the wire.
type frame struct {
	head    byte // FIN, RSV and opcode
	payload []byte
}

const maskKey = "\x11\xa2\x33\xc4"

// clientFrame encodes a masked frame; head holds FIN, RSV and opcode.
func clientFrame(head byte, payload []byte) []byte {
	b := []byte{head}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, maskBit|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), uint64(n))
	}
	b = append(b, maskKey...)
	for i, c := range payload {
		b = append(b, c^maskKey[i%4])
	}
	return b
}

func text(s string) []byte { return clientFrame(finBit|byte(OpText), []byte(s)) }
func ping(s string) []byte { return clientFrame(finBit|byte(opPing), []byte(s)) }
func pong(s string) []byte { return clientFrame(finBit|byte(opPong), []byte(s)) }
func part(op Opcode, s string, fin bool) []byte {
	head := byte(op)
	if fin {
		head |= finBit
	}
	return clientFrame(head, []byte(s))
}

func (p *peer) send(parts ...[]byte) {
	p.t.Helper()
	var all []byte
	for _, b := range parts {
		all = append(all, b...)
	}
	if _, err := p.Write(all); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// next reads one frame.
func (p *peer) next() (frame, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(p.r, head); err != nil {
		return frame{}, err
	}
	if head[1]&maskBit != 0 {
		return frame{}, errors.New("a server's frame is masked")
	}
	n := uint64(head[1])
	if n >= 126 {
		ext := make([]byte, 2+6*(n-126))
		if _, err := io.ReadFull(p.r, ext); err != nil {
			return frame{}, err
		}
		n = 0
		for _, c := range ext {
			n = n<<8 | uint64(c)
		}
	}
	if n > 1<<30 {
		return frame{}, fmt.Errorf("a frame of %d bytes", n)
	}
	f := frame{head[0], make([]byte, n)}
	_, err := io.ReadFull(p.r, f.payload)
	return f, err
}

func (p *peer) expect(op Opcode, payload string) {
	p.t.Helper()
	f, err := p.next()
	if err != nil {
		p.t.Fatalf("want a frame %x %.40q: %v", op, payload, err)
	}
	if f.head != finBit|byte(op) || string(f.payload) != payload {
		p.t.Fatalf("got a frame %x %.40q, want %x %.40q", f.head, f.payload, finBit|byte(op), payload)
	}
}

// expectClose reads the close frame and then the end of the stream: in order, without a reset.
func (p *peer) expectClose(code int) {
	p.t.Helper()
	f, err := p.next()
	if err != nil || f.head != finBit|byte(opClose) || len(f.payload) < 2 {
		p.t.Fatalf("got %x %q %v, want a close frame", f.head, f.payload, err)
	}
	if got := int(binary.BigEndian.Uint16(f.payload)); got != code {
		p.t.Errorf("close code %d %q, want %d", got, f.payload[2:], code)
	}
	if _, err := p.next(); !errors.Is(err, io.EOF) {
		p.t.Errorf("after the close frame: %v, want the end of the stream", err)
	}
}

// expectClosed waits until the handler was told of the end, once.
func expectClosed(t *testing.T, rec *recorder, want protocol.Reason) {
	t.Helper()
	select {
	case <-rec.over:
	case <-time.After(patience):
		t.Fatalf("the socket did not end; told %v", rec.reasons())
	}
	if got := rec.reasons(); len(got) != 1 || got[0] != want {
		t.Errorf("Closed was called with %v, want once with %v", got, want)
	}
}

// running counts goroutines with a function in their stack.
func running(function string) int {
	buf := make([]byte, 1<<20)
	n := 0
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, function+"(") {
			n++
		}
	}
	return n
}

func upgrade(w http.ResponseWriter, r *http.Request, o Options) (*Socket, error) {
	h, ok := ReadHandshake(r)
	if !ok {
		return nil, errors.New("no handshake")
	}
	s, answer, err := h.Upgrade(w, o)
	if err == nil {
		s.Answer(answer)
	}
	return s, err
}
