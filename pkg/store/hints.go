package store

import (
	"strconv"
	"sync"

	"github.com/imtier/imtier/pkg/protocol"
)

// maxHints bounds how many streams' epochs are remembered: about 10 MB. Beyond it all are forgotten, which costs each
// stream one look at its last entry.
const maxHints = 1 << 16

// hints remembers the epoch in which each stream was last appended to, so that append.lua need not read it. A hint is
// never trusted: the script finds out when it is wrong. It is only given in the life of Redis in which it was learned,
// for after a loss of data the stream may have fallen back behind it.
type hints struct {
	mu    sync.Mutex
	known map[string]hint // by the stream's key
}

type hint struct {
	fence uint64 // of the life in which it was learned
	epoch uint64
	text  string // epoch, as the script takes it
}

// of returns a stream's epoch, or "".
func (h *hints) of(key string, fence uint64) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.known[key]; x.fence == fence {
		return x.text
	}
	return ""
}

// learn remembers where a stream was appended to.
func (h *hints) learn(key string, fence uint64, pos protocol.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.known[key]; x.fence == fence && x.epoch == pos.Epoch {
		return
	}
	if h.known == nil || len(h.known) >= maxHints {
		h.known = make(map[string]hint)
	}
	h.known[key] = hint{fence, pos.Epoch, strconv.FormatUint(pos.Epoch, 10)}
}
