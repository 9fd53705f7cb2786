package socket

import (
	"bufio"
	"bytes"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

const (
	// readBuffer holds a frame's header and small frames; larger payloads are read past it. The largest control
	// frame (131 bytes with its mask) must fit, see read.go; 144 is the next size that Go allocates.
	readBuffer = 144
	// controlBuffer is coder/websocket's write buffer. It must hold the largest control frame, 127 bytes, so
	// that each reaches the outbox in one piece; data frames do not go through it.
	controlBuffer = 128
)

// frameSlack is what the frames of one message may take, in bytes, besides four times the largest message.
const frameSlack = 64 << 10

// Options of a socket. All but Hello and Parker are required.
type Options struct {
	MaxMessage int     // bytes of a message that the peer may send
	OutboxCap  int     // bytes kept for a peer that does not read
	Parker     *Parker // watches the connection while it is silent; nil: a goroutine of its own does

	// Hello makes the text of the first frame for a peer that asks for the sub-protocol.
	Hello func() []byte
}

// Upgrade answers the handshake and takes the connection over; on error the response has been written. The
// origin has been checked by the caller. The answer and the first frame leave in one write: a write costs more than
// anything else that a connection has to do. Nothing is read before Serve.
func Upgrade(w http.ResponseWriter, r *http.Request, o Options) (*Socket, error) {
	s := &Socket{patience: frameTimeout, allowance: 4*o.MaxMessage + frameSlack, done: make(chan struct{})}
	hw := &hijacker{ResponseWriter: w, s: s, o: o}
	ws, err := websocket.Accept(hw, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: true, // origins are the server's matter, with its own answer
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived:     s.onPing,
		OnPongReceived:     s.onPong,
	})
	if err != nil {
		return nil, err
	}
	// Accept has put a reader of its own in front, for bytes that were read ahead: here outbox.Read serves those,
	// and an idle connection need not keep what is empty.
	s.br.Reset(&s.out)
	ws.SetReadLimit(int64(o.MaxMessage))
	s.ws = ws
	first := hw.answer.Bytes()
	if o.Hello != nil && s.Subprotocol() {
		first = append(first, Frame(OpText, o.Hello())...)
	}
	_ = s.out.send(first, true) // of a connection that is broken already Serve tells
	return s, nil
}

// hijacker takes the connection from net/http and leaves net/http's 4 KiB buffers behind, and with them its way of
// writing the answer.
type hijacker struct {
	http.ResponseWriter
	s      *Socket
	o      Options
	answer bytes.Buffer
}

// WriteHeader keeps the answer that accepts, to be sent by Upgrade. Any other goes out as usual.
func (h *hijacker) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols {
		h.ResponseWriter.WriteHeader(status)
		return
	}
	h.answer.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Header().Write(&h.answer) // a buffer takes everything
	h.answer.WriteString("\r\n")
}

// Hijack implements http.Hijacker for coder/websocket.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// A client may send its first frames together with the handshake; they must not be lost with the buffer.
	ahead, err := brw.Reader.Peek(brw.Reader.Buffered())
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	front := append([]byte(nil), ahead...)
	out := &h.s.out
	out.open(c, h.o.OutboxCap, front, h.s.roomAgain, h.s.unpark)
	if out.fd != noFD {
		h.s.park.parker = h.o.Parker
	}
	h.s.br = bufio.NewReaderSize(out, readBuffer)
	return out, bufio.NewReadWriter(h.s.br, bufio.NewWriterSize(out, controlBuffer)), nil
}
