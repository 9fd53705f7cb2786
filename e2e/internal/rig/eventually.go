package rig

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
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

// Sure makes a call that has to succeed. A program that lost sight of Redis for a moment, as on a busy machine, answers 503:
// then the call is made again, so a send needs an id.
func Sure(t testing.TB, call func() error) {
	t.Helper()
	Eventually(t, startTimeout, "an answer other than 503", func() bool {
		err := call()
		var problem *api.Problem
		if errors.As(err, &problem) && problem.Status == http.StatusServiceUnavailable {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		return true
	})
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
