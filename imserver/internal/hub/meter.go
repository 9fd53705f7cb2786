package hub

import (
	"time"

	"github.com/imtier/imtier/imserver/internal/clock"
)

// inputBurst is how many seconds' worth of input are taken at once: a client that comes back acknowledges and asks a lot.
const inputBurst = 6

// Input is what a peer may send in the long run; a burst of inputBurst seconds' worth and of one large message is taken.
// A chat client sends a few frames a second; acknowledging each message of a busy room a few dozen.
type Input struct {
	Frames     int // per second; 0 does not limit them
	Bytes      int // per second; 0 does not limit them
	MaxMessage int // bytes of the largest message, which must always pass
}

// Limit is what a peer went over.
type Limit string

// The limits of a peer's input, as metrics name them.
const (
	WithinLimits  Limit = ""
	TooManyFrames Limit = "inbound_frames"
	TooManyBytes  Limit = "inbound_bytes"
)

// meter is two leaky buckets. It is part of every connection, also of those that never send anything: 16 bytes.
type meter struct {
	last   int64 // see clock; zero: never
	frames float32
	bytes  float32
}

// take counts one frame and tells which limit it goes over.
func (m *meter) take(in Input, bytes int, now time.Time) Limit {
	at := clock.Millis(now)
	passed := float32(0)
	if m.last != 0 {
		passed = float32(max(0, at-m.last)) / 1000
	}
	m.last = at
	m.frames = max(0, m.frames-passed*float32(in.Frames)) + 1
	m.bytes = max(0, m.bytes-passed*float32(in.Bytes)) + float32(bytes)
	switch {
	case in.Frames > 0 && m.frames > float32(inputBurst*in.Frames):
		return TooManyFrames
	case in.Bytes > 0 && m.bytes > float32(inputBurst*in.Bytes+in.MaxMessage):
		return TooManyBytes
	}
	return WithinLimits
}
