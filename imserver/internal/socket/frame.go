package socket

import (
	"encoding/binary"
	"unicode/utf8"
)

// Opcode is the type of a WebSocket frame (RFC 6455 §5.2).
type Opcode byte

const (
	OpText   Opcode = 0x1
	OpBinary Opcode = 0x2
	opClose  Opcode = 0x8
	opPing   Opcode = 0x9
	opPong   Opcode = 0xA
)

const (
	finBit  = 0x80
	maskBit = 0x80
	lenMask = 0x7f

	maxControlPayload = 125 // RFC 6455 §5.5
	maskKeyLen        = 4
	maxHeader         = 10 // of an unmasked frame: 2 bytes and a 64-bit length
)

// Frame returns one whole, final, unmasked frame. The result may be sent to any number of sockets and must not
// be changed afterwards.
func Frame(op Opcode, payload []byte) []byte {
	return Build(op, len(payload), func(b []byte) []byte { return append(b, payload...) })
}

// Build is Frame for a payload that appendTo appends, of about size bytes: it is written where it stays. appendTo must
// return what it was given with the payload behind.
func Build(op Opcode, size int, appendTo func([]byte) []byte) []byte {
	b := appendTo(make([]byte, maxHeader, maxHeader+size))
	var header [maxHeader]byte
	h := append(header[:0], finBit|byte(op))
	switch n := len(b) - maxHeader; {
	case n <= maxControlPayload:
		h = append(h, byte(n))
	case n <= 0xffff:
		h = binary.BigEndian.AppendUint16(append(h, 126), uint16(n))
	default:
		h = binary.BigEndian.AppendUint64(append(h, 127), uint64(n))
	}
	b = b[maxHeader-len(h):] // the header's length is known last, so it ends where the payload begins
	copy(b, h)
	return b
}

// closeFrame returns a close frame; the text is cut to what a control frame can carry.
func closeFrame(code int, text string) []byte {
	end := min(len(text), maxControlPayload-2)
	for end < len(text) && end > 0 && !utf8.RuneStart(text[end]) {
		end-- // a close frame that is not UTF-8 would be a protocol error of ours
	}
	text = text[:end]
	return Frame(opClose, append(binary.BigEndian.AppendUint16(nil, uint16(code)), text...))
}

// pingFrame is shared by all sockets; its payload carries nothing.
var pingFrame = Frame(opPing, nil)
