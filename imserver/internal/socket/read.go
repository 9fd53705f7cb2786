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

	"github.com/imtier/imtier/imserver/internal/clock"
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
		if s.ended.Load() {
			s.discard()
			return
		}
		if r := s.readSome(); r != protocol.ReasonNone {
			s.End(r)
			if r.Code() == 0 || r == protocol.ReasonPeerClosed {
				s.finish(r)
				return
			}
			s.h.Closing()
			continue // the peer may still answer the close frame
		}
		if !s.ended.Load() && s.wait() {
			return
		}
	}
}

// readSome reads until nothing is left that has arrived, or this side has ended. It returns why the connection is over, or
// ReasonNone.
func (s *Socket) readSome() protocol.Reason {
	in := takeReader(s)
	for {
		in.begin(s.due())
		r := s.readOne(in)
		rest := in.br.Buffered() > 0
		if r != protocol.ReasonNone || s.ended.Load() || !rest {
			in.release(r == protocol.ReasonNone && !rest)
			return r
		}
	}
}

// due is when the peer must have completed a frame that has begun to arrive. Without a Parker a read may wait for the beginning,
// and silence is no offence: zero.
func (s *Socket) due() time.Time {
	if s.park.parker == nil {
		return time.Time{}
	}
	return time.Now().Add(s.patience)
}

// readOne reads one control frame or one message. It returns why the connection is over, or ReasonNone.
func (s *Socket) readOne(in *reader) protocol.Reason {
	head, err := in.br.Peek(2)
	if err != nil {
		return s.why(err)
	}
	s.heard.Store(clock.Millis(time.Now()))
	if isPlainControl(head) {
		return s.readControl(in, controlSize(head))
	}
	largest := int(s.maxMessage.Load())
	in.ws.SetReadLimit(int64(largest))
	in.meter(4*largest + frameSlack)
	defer in.unmeter()
	typ, r, err := in.ws.Reader(context.Background()) // the deadline is on the connection
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

// controlSize is how many bytes a frame has of which isPlainControl was told.
func controlSize(head []byte) int { return 2 + maskKeyLen + int(head[1]&lenMask) }

// unmask decodes, in its place, a frame of which isPlainControl was told.
func unmask(frame []byte) (op Opcode, payload []byte) {
	key, payload := frame[2:2+maskKeyLen], frame[2+maskKeyLen:]
	for i := range payload {
		payload[i] ^= key[i%maskKeyLen]
	}
	return Opcode(frame[0] & 0x0f), payload
}

func (s *Socket) readControl(in *reader, size int) protocol.Reason {
	b, err := in.br.Peek(size)
	if err != nil {
		return s.why(err)
	}
	s.control(unmask(b))
	if _, err := in.br.Discard(size); err != nil {
		return s.why(err)
	}
	return protocol.ReasonNone
}

// control acts on a ping or pong.
func (s *Socket) control(op Opcode, payload []byte) {
	s.heard.Store(clock.Millis(time.Now()))
	s.h.Frame(len(payload))
	if op == opPing {
		_ = s.out.send(Frame(opPong, payload), false) // a peer that reads nothing gets no pong
	}
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
