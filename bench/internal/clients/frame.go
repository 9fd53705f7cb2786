package clients

import (
	"encoding/binary"
	"errors"
)

// Opcodes of WebSocket frames (RFC 6455 §5.2).
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// maxFrame bounds what a frame may claim to hold, in bytes.
const maxFrame = 16 << 20

var (
	errMasked   = errors.New("a server's frame is masked")
	errTooLarge = errors.New("a frame is too large")
	errFragment = errors.New("a message is fragmented")
)

// decoder cuts a stream of bytes into the frames of a server. It keeps nothing between two reads but the start of
// a frame that has not arrived in full.
type decoder struct {
	rest []byte
}

// feed takes what was read and calls frame for each whole frame. The payload is valid only during the call.
func (d *decoder) feed(b []byte, frame func(op byte, payload []byte)) error {
	began := len(d.rest) > 0
	if began {
		d.rest = append(d.rest, b...)
		b = d.rest
	}
	for {
		op, payload, size, err := parse(b)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		frame(op, payload)
		b = b[size:]
	}
	switch {
	case len(b) == 0:
		d.rest = nil
	case !began || len(b) < len(d.rest):
		d.rest = append([]byte(nil), b...)
	}
	return nil
}

// parse reads the frame at the beginning of b. The size is 0 when it is not there in full.
func parse(b []byte) (op byte, payload []byte, size int, err error) {
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	if b[0]&0x80 == 0 {
		return 0, nil, 0, errFragment
	}
	if b[1]&0x80 != 0 {
		return 0, nil, 0, errMasked
	}
	n, head := uint64(b[1]), 2
	switch n {
	case 126:
		head = 4
		if len(b) < head {
			return 0, nil, 0, nil
		}
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		head = 10
		if len(b) < head {
			return 0, nil, 0, nil
		}
		n = binary.BigEndian.Uint64(b[2:])
	}
	if n > maxFrame {
		return 0, nil, 0, errTooLarge
	}
	size = head + int(n)
	if len(b) < size {
		return 0, nil, 0, nil
	}
	return b[0] & 0x0f, b[head:size], size, nil
}

// masked returns a client's frame. The mask is zero: the payload travels as it is, which the protocol allows and
// costs this side nothing. Payloads are at most 65,535 bytes.
func masked(op byte, payload []byte) []byte {
	b := []byte{0x80 | op}
	if n := len(payload); n < 126 {
		b = append(b, 0x80|byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	}
	b = append(b, 0, 0, 0, 0)
	return append(b, payload...)
}
