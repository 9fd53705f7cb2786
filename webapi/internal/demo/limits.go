package demo

import (
	"sync"
	"time"
)

const (
	window     = 10 * time.Second
	perWindow  = 100    // requests of one person, or logins from one address
	maxCounted = 50_000 // callers remembered per window; beyond that nobody new is let in until it ends
)

// limits keeps one caller from taking the demo away from the others. It counts in this process only.
type limits struct {
	mu    sync.Mutex
	until time.Time // the window's end
	seen  map[string]int
}

func newLimits() *limits { return &limits{seen: make(map[string]int)} }

// allow counts a request of a caller and reports whether it may go on.
func (l *limits) allow(caller string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.After(l.until) {
		l.until = now.Add(window)
		clear(l.seen)
	}
	n := l.seen[caller]
	if n >= perWindow || n == 0 && len(l.seen) >= maxCounted {
		return false
	}
	l.seen[caller] = n + 1
	return true
}
