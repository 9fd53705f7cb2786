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

// given is a hint that a call of the script gets.
type given struct {
	epoch uint64
	text  string // "": none, the script has to look for itself, and then renews the expiry too
}

// of returns the hint about a stream.
func (h *hints) of(key string, fence uint64, now time.Time) given {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.known[key]; x.fence == fence && now.Sub(x.renewed) < h.renewAfter {
		return given{x.epoch, x.text}
	}
	return given{}
}

// learn remembers where a stream was appended to by a call that was made at now with a hint.
func (h *hints) learn(key string, fence uint64, pos protocol.Position, g given, now time.Time) {
	if g.text != "" && g.epoch == pos.Epoch {
		return // the script believed the hint, and renewed nothing
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil || len(h.known) >= maxHints {
		h.known = make(map[string]hint)
	}
	h.known[key] = hint{fence, pos.Epoch, strconv.FormatUint(pos.Epoch, 10), now}
}
