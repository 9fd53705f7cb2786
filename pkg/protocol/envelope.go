package protocol

import (
	"encoding/binary"
	"errors"
)

// Envelope is one message as its publisher encoded it. The same bytes are stored in the stream and sent to the
// imservers; nothing but the position is added on the way.
type Envelope struct {
	ID   string
	From string // clientId of the sender; empty means the system
	Time int64  // Unix milliseconds, the publisher's clock

	Data   []byte // JSON when Binary is false, any bytes otherwise
	Binary bool

	ExceptSender bool     // connections of From do not get it
	ExceptConn   string   // this connection does not get it
	Devices      []string // when not empty, only these devices get it
	Receipt      Receipt  // which receipts the sender asked for
	TTL          int64    // seconds after Time when an unacknowledged message is reported expired; 0 = never

	// IsReceipt marks what a sender is told about a message of its own: From is the receiver of that message, Data
	// what ReceiptData makes. Only imtier.v1 connections get it.
	IsReceipt bool
}

// Receipt is the confirmation that a sender asked for.
type Receipt byte

const (
	ReceiptNone Receipt = iota
	ReceiptDelivered
	ReceiptRead
)

// The encoding, all integers unsigned LEB128 (encoding/binary's Uvarint), strings and bytes with their length
// in front:
//
//	version  1 byte, envelopeV1
//	flags    1 byte: bit 0 binary, bit 1 except sender, bits 2–3 receipt, bit 4 is a receipt
//	time     uvarint
//	ttl      uvarint
//	id, from, exceptConn   strings
//	devices  count, then strings
//	data     the rest
const (
	envelopeV1 = 1

	flagBinary       = 1 << 0
	flagExceptSender = 1 << 1
	receiptShift     = 2
	flagIsReceipt    = 1 << 4
	knownFlags       = flagBinary | flagExceptSender | 3<<receiptShift | flagIsReceipt
)

// ErrBadEnvelope is returned for bytes that are not an envelope of a known version.
var ErrBadEnvelope = errors.New("malformed envelope")

// Encode returns the envelope's bytes.
func (e *Envelope) Encode() []byte {
	size := 2 + 6*binary.MaxVarintLen64 + len(e.ID) + len(e.From) + len(e.ExceptConn) + len(e.Data)
	for _, d := range e.Devices {
		size += 1 + len(d)
	}
	b := make([]byte, 0, size)
	flags := byte(e.Receipt) << receiptShift
	if e.Binary {
		flags |= flagBinary
	}
	if e.ExceptSender {
		flags |= flagExceptSender
	}
	if e.IsReceipt {
		flags |= flagIsReceipt
	}
	b = append(b, envelopeV1, flags)
	b = binary.AppendUvarint(b, uint64(e.Time))
	b = binary.AppendUvarint(b, uint64(e.TTL))
	b = appendString(b, e.ID)
	b = appendString(b, e.From)
	b = appendString(b, e.ExceptConn)
	b = binary.AppendUvarint(b, uint64(len(e.Devices)))
	for _, d := range e.Devices {
		b = appendString(b, d)
	}
	return append(b, e.Data...)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// DecodeEnvelope reads what Encode wrote. Data refers to b.
func DecodeEnvelope(b []byte) (*Envelope, error) {
	e := new(Envelope)
	if err := e.Decode(b); err != nil {
		return nil, err
	}
	return e, nil
}

// Decode is DecodeEnvelope into an Envelope that is there. After an error it is not to be used.
func (e *Envelope) Decode(b []byte) error {
	d := decoder{b: b}
	if d.byte() != envelopeV1 {
		return ErrBadEnvelope
	}
	flags := d.byte()
	*e = Envelope{
		Binary:       flags&flagBinary != 0,
		ExceptSender: flags&flagExceptSender != 0,
		Receipt:      Receipt(flags >> receiptShift & 3),
		IsReceipt:    flags&flagIsReceipt != 0,
		Time:         int64(d.uvarint()),
		TTL:          int64(d.uvarint()),
		ID:           d.string(),
		From:         d.string(),
		ExceptConn:   d.string(),
	}
	n := d.uvarint()
	if n > MaxReceivers {
		return ErrBadEnvelope
	}
	for range n {
		e.Devices = append(e.Devices, d.string())
	}
	if d.failed || flags&^knownFlags != 0 || e.Receipt > ReceiptRead {
		return ErrBadEnvelope
	}
	e.Data = d.b
	return nil
}

// decoder reads from the front of b; after the first failure it yields zero values.
type decoder struct {
	b      []byte
	failed bool
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.failed = true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.failed = true
		d.b = nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.failed = true
		d.b = nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
