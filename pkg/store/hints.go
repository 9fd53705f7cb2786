package store

import (
	"strconv"
	"sync"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// maxHints bounds how many streams' epochs are remembered: about 10 MB. Beyond it all are forgotten, which costs each
// stream one look at its last entry.
const maxHints = 1 << 16

// hints remembers the epoch in which each stream was last appended to, so that append.lua need neither read it nor renew
// the stream's expiry. A hint is never trusted: the script finds out when it is wrong. It is only given in the life of
// Redis in which it was learned, for after a loss of data the stream may have fallen back behind it; and not for longer
// than renewAfter, so that expiries are renewed in time.
type hints struct {
	renewAfter time.Duration

	mu    sync.Mutex
	known map[string]hint // by the stream's key
}

type hint struct {
	fence   uint64 // of the life in which it was learned
	epoch   uint64
	text    string    // epoch, as the script takes it
	renewed time.Time // when the script renewed the expiry last, for all that is known here
}

// renewals is how often in its life a stream's expiry is renewed while it is written to. It expires later than it would
// have to by as much.
const renewals = 24

// of returns a stream's epoch, or "" when the script has to look for itself, and then renews the expiry too.
func (h *hints) of(key string, fence uint64, now time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.known[key]; x.fence == fence && now.Sub(x.renewed) < h.renewAfter {
		return x.text
	}
	return ""
}

// learn remembers where a stream was appended to. given is the hint that the script had, now when that was.
func (h *hints) learn(key string, fence uint64, pos protocol.Position, given string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.known[key]
	if x.fence == fence && x.epoch == pos.Epoch && given == x.text {
		return // the script believed the hint, and renewed nothing
	}
	text := strconv.FormatUint(pos.Epoch, 10)
	if given == text && x.text == "" {
		return // forgotten meanwhile
	}
	if h.known == nil || len(h.known) >= maxHints {
		h.known = make(map[string]hint)
	}
	h.known[key] = hint{fence, pos.Epoch, text, now}
}
