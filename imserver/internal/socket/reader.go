package socket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/imtier/imtier/imserver/internal/clock"
)

const (
	// readBuffer holds what is read at once: usually everything that has come.
	readBuffer = 4 << 10
	// controlBuffer is coder/websocket's write buffer. It must hold the largest control frame, 127 bytes, so
	// that each reaches the outbox in one piece; data frames do not go through it.
	controlBuffer = 128
)

// reader reads frames: a coder/websocket connection, and the buffers at both of its ends, some 7 KiB. A socket has one only
// while there is something to read; then the next one that has something gets it. That is sound because between two messages
// coder/websocket remembers nothing of the connection but whether it has closed or failed. A reader that failed is not used
// again, nor one that met a control frame within a message: that started a timer, which may be closing it.
//
// To coder/websocket it looks like one connection that never ends. What it reads is the socket's of the moment, and
// the control frames that it writes go into that one's outbox.
type reader struct {
	net.Conn // nil: coder/websocket calls what is below, and nothing else
	ws       *websocket.Conn
	br       *bufio.Reader
	s        atomic.Pointer[Socket] // nil while it is nobody's
	spoiled  bool                   // must not be used again

	due   time.Time // when the peer must have completed what it has begun; zero: it may take any time
	timed bool      // the connection's deadline is due

	left    int  // bytes that may be read
	metered bool // left counts: a message is being read
}

var readers sync.Pool // of *reader

// takeReader gets a reader for a socket, until release.
func takeReader(s *Socket) *reader {
	r, _ := readers.Get().(*reader)
	if r == nil {
		r = newReader()
	}
	r.s.Store(s)
	return r
}

// release takes the reader from its socket. again says that nothing is left in the reader's buffer, and that coder/websocket
// has returned no error.
func (r *reader) release(again bool) {
	r.s.Store(nil)
	if again && !r.spoiled {
		readers.Put(r)
	}
}

// begin is called before each frame or message. The peer has until due to complete it; when that is zero, any time.
func (r *reader) begin(due time.Time) { r.due, r.timed = due, false }

// Read implements net.Conn. A deadline costs more than reading what is there, so it is set when something is not; then it
// stays, since nothing but the next read that waits is concerned.
func (r *reader) Read(p []byte) (n int, err error) {
	if r.metered {
		if r.left <= 0 {
			return 0, errTooMuch
		}
		p = p[:min(len(p), r.left)]
	}
	out := &r.s.Load().out
	if n, err = out.readNow(p); n == 0 && err == nil {
		if !r.timed && !r.due.IsZero() {
			_ = out.SetReadDeadline(r.due) // fails only when closed; so does the read
			r.timed = true
		}
		n, err = out.Read(p)
	}
	if r.metered {
		r.s.Load().heard.Store(clock.Millis(time.Now())) // who is sending a long message is not silent
		r.left -= n
		if errors.Is(err, io.EOF) { // coder/websocket would take it for the message's
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// Write implements net.Conn.
func (r *reader) Write(p []byte) (int, error) { return r.s.Load().out.Write(p) }

// Close implements net.Conn. A timer of coder/websocket may call it late.
func (r *reader) Close() error {
	if s := r.s.Load(); s != nil {
		return s.out.Close()
	}
	return nil
}

// meter bounds what is read until unmeter: one message may come in any number of frames, also empty ones, which cost
// time and count nowhere else.
func (r *reader) meter(bytes int) { r.metered, r.left = true, bytes }
func (r *reader) unmeter()        { r.metered = false }

// newReader has coder/websocket accept a handshake that nobody has sent: there is no other way to a connection of its
// server's side. The true ones are Handshake's.
func newReader() *reader {
	r := &reader{br: bufio.NewReaderSize(nil, readBuffer)}
	ask, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte("GET / HTTP/1.1\r\nHost: x\r\n" +
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"))))
	if err == nil {
		r.ws, err = websocket.Accept(&acceptor{r: r, header: make(http.Header)}, ask, &websocket.AcceptOptions{
			CompressionMode: websocket.CompressionDisabled,
			OnPingReceived:  r.onPing,
			OnPongReceived:  r.onPong,
		})
	}
	if err != nil {
		panic("coder/websocket refuses a correct handshake: " + err.Error())
	}
	runtime.SetFinalizer(r.ws, nil) // it would close what belongs to a socket
	r.br.Reset(r)                   // Accept has put a reader of its own in front, for what was read ahead
	return r
}

// onPing and onPong are called for control frames between the fragments of a message. Pings are not left to coder/websocket to
// answer: its writes may not be refused, so that a peer that pings and does not read would fill the memory.
func (r *reader) onPing(_ context.Context, payload []byte) (answer bool) {
	r.spoiled = true
	r.s.Load().control(opPing, payload)
	return false
}

func (r *reader) onPong(_ context.Context, payload []byte) {
	r.spoiled = true
	r.s.Load().control(opPong, payload)
}

// acceptor is the http.ResponseWriter of that handshake.
type acceptor struct {
	r      *reader
	header http.Header
}

// Header implements http.ResponseWriter.
func (a *acceptor) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *acceptor) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (a *acceptor) Write(p []byte) (int, error) { return len(p), nil }

// Hijack implements http.Hijacker.
func (a *acceptor) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return a.r, bufio.NewReadWriter(a.r.br, bufio.NewWriterSize(a.r, controlBuffer)), nil
}
