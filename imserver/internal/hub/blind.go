package hub

import (
	"sync"
	"time"
)

// blind is since when something may have been missed that no comparison has looked for yet.
//
// What was missed is found in the log, unless it has expired meanwhile. That takes as long as the log keeps a message: a node
// that was blind for longer must not take an empty stream, or one that begins anew, for one in which nothing was said.
type blind struct {
	mu    sync.Mutex
	since time.Time // zero: everything has been compared
	times int64     // that something may have been missed
}

// Missed notes that what was published since then may not have arrived. Verify looks for it.
func (h *Hub) Missed(since time.Time) {
	b := &h.blind
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.times++; b.since.IsZero() || since.Before(b.since) {
		b.since = since
	}
}

// last returns what compared needs to be told when the comparison that begins now is over.
func (b *blind) last() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.times
}

// compared notes that nothing is missed of what may have been when last was called.
func (b *blind) compared(last int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.times == last {
		b.since = time.Time{}
	}
}

// hides reports whether something may have been missed and not be in the log any more. A machine that was suspended finds it by
// the time of day, which the process's own clock does not count.
func (h *Hub) hides() bool {
	b := &h.blind
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since.IsZero() {
		return false
	}
	now := time.Now()
	return max(now.Sub(b.since), now.Round(0).Sub(b.since.Round(0))) >= h.opts.Keeps
}
