package socket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/imtier/imtier/pkg/protocol"
)

// frameTimeout is how long a peer may take to complete what it began to send.
const frameTimeout = 30 * time.Second

// buffers hold messages while a handler looks at them.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooled is the largest buffer kept for the next message, in bytes.
const maxPooled = 64 << 10

// read takes what has arrived, then hands the socket to its Parker. It is called on a fresh goroutine each time, when
// there is something to read. Without a Parker it stays and waits.
func (s *Socket) read() {
	for {
		if s.park.parker != nil { // or it would end whoever is silent
			_ = s.out.SetReadDeadline(time.Now().Add(s.patience)) // fails only when closed; so does the read
		}
		if s.ended.Load() {
			s.discard()
			return
		}
		if r := s.readOne(); r != protocol.ReasonNone {
			s.End(r)
			if r.Code() == 0 || r == protocol.ReasonPeerClosed {
				s.finish(r)
				return
			}
			s.h.Closing()
			continue // the peer may still answer the close frame
		}
		if s.wait() {
			return
		}
	}
}

// readOne reads one control frame or one message. It returns why the connection is over, or ReasonNone.
func (s *Socket) readOne() protocol.Reason {
	head, err := s.br.Peek(2)
	if err != nil {
		return s.why(err)
	}
	s.heard.Store(time.Now().UnixMilli())
	if isPlainControl(head) {
		return s.readControl(int(head[1] & lenMask))
	}
	s.out.meter(s.allowance)
	defer s.out.unmeter()
	typ, r, err := s.ws.Reader(context.Background()) // the deadline is on the connection
	if err != nil {
		return s.why(err)
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= maxPooled {
			buf.Reset()
			buffers.Put(buf)
		}
	}()
	if _, err := buf.ReadFrom(r); err != nil {
		return s.why(err)
	}
	if typ == websocket.MessageText && !utf8.Valid(buf.Bytes()) {
		return protocol.ReasonBadUTF8
	}
	s.h.Frame(buf.Len())
	if !s.ended.Load() {
		s.h.Message(typ == websocket.MessageText, buf.Bytes())
	}
	return protocol.ReasonNone
}

// isPlainControl reports whether a frame is a well-formed ping or pong. coder/websocket would answer those too,
// but only inside a read that then waits for a message, on a deep stack: it would keep every connection that
// has answered one ping from parking. Anything unusual goes to coder/websocket, which knows how to refuse it.
func isPlainControl(head []byte) bool {
	op := Opcode(head[0] & 0x0f)
	return head[0]&0xf0 == finBit && (op == opPing || op == opPong) &&
		head[1]&maskBit != 0 && head[1]&lenMask <= maxControlPayload
}

func (s *Socket) readControl(n int) protocol.Reason {
	b, err := s.br.Peek(2 + maskKeyLen + n)
	if err != nil {
		return s.why(err)
	}
	op, key, masked := Opcode(b[0]&0x0f), b[2:2+maskKeyLen], b[2+maskKeyLen:]
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = masked[i] ^ key[i%maskKeyLen]
	}
	if _, err := s.br.Discard(len(b)); err != nil {
		return s.why(err)
	}
	s.h.Frame(n)
	if op == opPing {
		_ = s.out.send(Frame(opPong, payload), false) // a peer that reads nothing gets no pong
	}
	return protocol.ReasonNone
}

// onPing and onPong are called for control frames between the fragments of a message. They count like others, and
// pings are not left to coder/websocket to answer: its writes may not be refused, so that a peer that pings and does
// not read would fill the memory.
func (s *Socket) onPing(_ context.Context, payload []byte) (answer bool) {
	s.heard.Store(time.Now().UnixMilli())
	s.h.Frame(len(payload))
	_ = s.out.send(Frame(opPong, payload), false) // a peer that reads nothing gets no pong
	return false
}

func (s *Socket) onPong(_ context.Context, payload []byte) {
	s.heard.Store(time.Now().UnixMilli())
	s.h.Frame(len(payload))
}

// why maps what ended a read to a reason.
func (s *Socket) why(err error) protocol.Reason {
	var ne net.Error
	switch {
	case errors.Is(err, errTooMuch):
		return protocol.ReasonTooMuchInput
	case websocket.CloseStatus(err) != -1:
		return protocol.ReasonPeerClosed
	case errors.Is(err, websocket.ErrMessageTooBig):
		return protocol.ReasonTooBig
	case errors.As(err, &ne) && ne.Timeout():
		return protocol.ReasonNoPong
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &ne):
		return protocol.ReasonPeerGone
	}
	return protocol.ReasonProtocol
}

// discard reads until the peer closes, after this side has ended: closing with unread bytes would reset the
// connection, and the peer might never see the close frame. Kill bounds it.
func (s *Socket) discard() {
	var scratch [512]byte
	_ = s.out.SetReadDeadline(time.Now().Add(s.patience)) // fails only when closed; so does the read
	for {
		if _, err := s.out.Read(scratch[:]); err != nil {
			s.finish(s.reason)
			return
		}
	}
}
