package hub

import "time"

// What a peer may send: a sustained rate and a burst, in frames; every inputUnit bytes count as one more.
// A chat client sends a few frames a second; acknowledging each message of a busy room a few dozen.
const (
	inputRate  = 50   // per second
	inputBurst = 300  // at once
	inputUnit  = 4096 // bytes
)

// meter is a leaky bucket.
type meter struct {
	level float32
	last  int64 // Unix milliseconds; zero: never
}

// take counts one frame and reports whether it is within the limits.
func (m *meter) take(bytes int, now time.Time) bool {
	at := now.UnixMilli()
	if m.last != 0 {
		m.level = max(0, m.level-float32(at-m.last)/1000*inputRate)
	}
	m.last = at
	m.level += 1 + float32(bytes)/inputUnit
	return m.level <= inputBurst
}
