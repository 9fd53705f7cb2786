package protocol

import (
	"errors"
	"strconv"
	"strings"
)

// Position is a place in a stream. Seq counts from 1 within an Epoch without gaps; a new epoch begins when a
// stream is new or when Redis may have lost the end of what it had. The zero Position is before everything. A stream
// that is empty ends at <fence>-0: before everything that is written in the present life of Redis.
type Position struct {
	Epoch uint64
	Seq   uint64
}

var errBadPosition = errors.New(`a position is "<epoch>-<seq>"`)

// ParsePosition reads "<epoch>-<seq>".
func ParsePosition(s string) (Position, error) {
	e, q, ok := strings.Cut(s, "-")
	if !ok {
		return Position{}, errBadPosition
	}
	epoch, err1 := strconv.ParseUint(e, 10, 64)
	seq, err2 := strconv.ParseUint(q, 10, 64)
	if err1 != nil || err2 != nil {
		return Position{}, errBadPosition
	}
	return Position{epoch, seq}, nil
}

// String is "<epoch>-<seq>", which is also the id of the entry in the Redis stream.
func (p Position) String() string {
	var b [2*20 + 1]byte // two numbers of 64 bits
	return string(p.Append(b[:0]))
}

// Append appends the position's text to b.
func (p Position) Append(b []byte) []byte {
	b = strconv.AppendUint(b, p.Epoch, 10)
	b = append(b, '-')
	return strconv.AppendUint(b, p.Seq, 10)
}

// MarshalText is String, so that a position is a string in JSON.
func (p Position) MarshalText() ([]byte, error) { return p.Append(nil), nil }

// UnmarshalText is ParsePosition.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePosition(string(text))
	return err
}

// IsZero reports whether p is before everything.
func (p Position) IsZero() bool { return p == Position{} }

// Less reports whether p comes before q.
func (p Position) Less(q Position) bool {
	return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.Seq < q.Seq
}

// Next reports whether q follows p in its epoch, with nothing between them. Between two epochs the positions alone
// prove nothing.
func (p Position) Next(q Position) bool { return p.Epoch == q.Epoch && q.Seq == p.Seq+1 }
