package rig

import (
	"testing"
	"time"
)

const poll = 20 * time.Millisecond

// Eventually waits until ok, and returns how long it took; it fails the test when that takes longer than within.
func Eventually(t testing.TB, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !ok() {
		if time.Since(begin) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
		<-tick.C
	}
	return time.Since(begin)
}

// Never fails the test when bad becomes true during d.
func Never(t testing.TB, d time.Duration, what string, bad func() bool) {
	t.Helper()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		if bad() {
			t.Fatalf("it happened: %s", what)
		}
	}
}
