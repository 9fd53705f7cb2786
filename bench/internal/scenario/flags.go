package scenario

import (
	"cmp"
	"fmt"
	"time"

	"github.com/imtier/imtier/bench/internal/load"
)

// Bounds of flags that several scenarios have.
const (
	minSize = 60     // of a message's data: less has no room for its time
	maxSize = 60_000 // webapi's limit is 64 KiB, and a bare loop's frame has 65,535 bytes at most
	// maxRate, a second, is beyond any machine, and within what can be counted.
	maxRate = 1e9
)

// among is an error unless a flag's value is from low to high.
func among[T cmp.Ordered](flag string, v, low, high T) error {
	if v >= low && v <= high { // no number is neither
		return nil
	}
	return fmt.Errorf("-%s is %v: from %v to %v", flag, v, low, high)
}

// atLeast is an error unless a flag's value is low or more.
func atLeast[T cmp.Ordered](flag string, v, low T) error {
	if v >= low {
		return nil
	}
	return fmt.Errorf("-%s is %v: %v at least", flag, v, low)
}

// percent is an error unless a flag's value is one.
func percent(flag string, v int) error { return among(flag, v, 0, 100) }

// lasts is an error unless a flag's value is a time in which something can happen.
func lasts(flag string, d time.Duration) error { return atLeast(flag, d, time.Millisecond) }

// paces is an error unless a flag's value is a rate at which something is sent within a time, so many at once.
func paces(flag string, rate float64, d time.Duration, each int) error {
	if err := among(flag, rate, 0, maxRate); err != nil {
		return err
	}
	if (load.Plan{Rate: rate / float64(each), Duration: d}).Total() < 1 {
		return fmt.Errorf("-%s is %g a second, %d at a time: not even one within %v", flag, rate, each, d)
	}
	return nil
}
