package socket

import (
	"crypto/sha1"
	"encoding/base64"
	"net"
	"net/http"
	"strings"

	"github.com/imtier/imtier/imserver/internal/tcp"
)

// Names of headers as net/http keeps them; others would be rewritten at each look.
const (
	headerKey      = "Sec-Websocket-Key"
	headerVersion  = "Sec-Websocket-Version"
	headerProtocol = "Sec-Websocket-Protocol"
)

const (
	// keySize is what a handshake's key has in bytes, acceptGUID what is hashed with it, and answerSize how long the answer
	// is at most without a first frame (RFC 6455 §1.3).
	keySize    = 16
	acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	answerSize = 256
)

// Handshake is a request that asks for a WebSocket.
type Handshake struct {
	key         string // as it was sent
	Subprotocol bool   // the peer offers ours, and gets it
}

// ReadHandshake returns the handshake that a request is, if it is one (RFC 6455 §4.2.1). The origin is the caller's matter.
func ReadHandshake(r *http.Request) (h Handshake, ok bool) {
	keys := r.Header[headerKey]
	if len(keys) != 1 {
		return h, false
	}
	h.key = strings.TrimSpace(keys[0])
	var key [keySize + 2]byte // as much as decoding may need
	if len(h.key) != base64.StdEncoding.EncodedLen(keySize) {
		return h, false
	}
	if n, err := base64.StdEncoding.Decode(key[:], []byte(h.key)); err != nil || n != keySize {
		return h, false
	}
	h.Subprotocol = hasToken(r.Header, headerProtocol, Subprotocol)
	return h, r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ProtoMinor >= 1 &&
		hasToken(r.Header, "Connection", "upgrade") &&
		hasToken(r.Header, "Upgrade", "websocket") &&
		r.Header.Get(headerVersion) == "13"
}

// hasToken looks for an element of a header that is a list; letter case does not count.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h[name] {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// frameSlack is what the frames of one message may take, in bytes, besides four times the largest message.
const frameSlack = 64 << 10

// Options of a socket. All but Hello and Parker are required.
type Options struct {
	MaxMessage int         // bytes of a message that the peer may send; see SetMaxMessage
	OutboxCap  int         // bytes kept for a peer that does not read
	Parker     *tcp.Parker // watches the connection while it is silent; nil: a goroutine of its own does

	Handler Handler // is told what happens, from Upgrade on

	// Hello makes the text of the first frame for a peer that asks for the sub-protocol.
	Hello func() []byte
}

// Upgrade takes the connection over. What accepts the handshake is returned, for Answer: it tells the client that it is
// connected, which has to be true by then. The answer and the first frame leave in one write: a write costs more than
// anything else that a connection has to do. Nothing is read before Serve. It fails when w cannot be hijacked.
func (h Handshake) Upgrade(w http.ResponseWriter, o Options) (s *Socket, answer []byte, err error) {
	c, ahead, err := hijack(w)
	if err != nil {
		return nil, nil, err
	}
	s = &Socket{h: o.Handler, subprotocol: h.Subprotocol, patience: frameTimeout}
	s.SetMaxMessage(o.MaxMessage)
	s.out.open(c, o.OutboxCap, ahead, s)
	if s.out.fd != noFD {
		s.park.parker = o.Parker
	}
	answer = h.answer()
	if o.Hello != nil && s.subprotocol {
		answer = append(answer, Frame(OpText, o.Hello())...)
	}
	return s, answer, nil
}

// hijack takes the connection and leaves its buffers, of 4 KiB each in net/http, behind. A client may send its first frames
// together with the handshake: they must not be lost with the buffer.
func hijack(w http.ResponseWriter) (c net.Conn, ahead []byte, err error) {
	c, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	read, err := brw.Reader.Peek(brw.Reader.Buffered())
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	return c, append(ahead, read...), nil
}

// answer is what accepts the handshake (RFC 6455 §4.2.2).
func (h Handshake) answer() []byte {
	hash := sha1.Sum([]byte(h.key + acceptGUID))
	b := make([]byte, 0, answerSize)
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = base64.StdEncoding.AppendEncode(b, hash[:])
	if h.Subprotocol {
		b = append(b, "\r\nSec-WebSocket-Protocol: "+Subprotocol...)
	}
	return append(b, "\r\n\r\n"...)
}
