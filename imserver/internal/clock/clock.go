// Package clock keeps times in eight bytes that no correction of the system's clock moves: as milliseconds since the process
// began. A peer that was heard before the clock went back is not heard for longer, nor silent for longer when it goes forward.
package clock

import "time"

var began = time.Now()

// Millis returns the milliseconds from the beginning of the process to t, which comes from time.Now or a ticker, with or
// without something added.
func Millis(t time.Time) int64 { return t.Sub(began).Milliseconds() }

// Time is the inverse of Millis. What it returns may be compared with time.Now.
func Time(millis int64) time.Time { return began.Add(time.Duration(millis) * time.Millisecond) }
