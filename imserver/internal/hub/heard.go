package hub

import (
	"context"
	"slices"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// heardWait is how long a reader of a group's log waits for the subscription before it tries again later: catchers are few,
// and others need them too.
const heardWait = time.Second

// heardOf returns those of the entries, just read from a topic's log, that may be given to its followers, and whether these
// are all. The log is faster than the subscription: a message that was sent after somebody left may be read before the leave
// has been announced here. What precedes a message that the subscription brought is safe, since leaves and messages come in
// the order in which they happened; for what comes after it the subscription is asked how far it is.
func (h *Hub) heardOf(ctx context.Context, s *shard, t *topic, entries []Entry) (safe []Entry, all bool, err error) {
	if t.stream.Kind != protocol.Group || len(entries) == 0 {
		return entries, true, nil
	}
	s.mu.Lock()
	heard := t.heard
	s.mu.Unlock()
	n := len(entries)
	if i := slices.IndexFunc(entries, func(e Entry) bool { return heard.Less(e.Pos) }); i >= 0 {
		n = i
	}
	if n > 0 {
		return entries[:n], n == len(entries), nil
	}
	ctx, cancel := context.WithTimeout(ctx, heardWait)
	defer cancel()
	if err := h.opts.Heard(ctx); err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	t.hears(entries[len(entries)-1].Pos)
	s.mu.Unlock()
	return entries, true, nil
}

// hears notes that the subscription has brought what was published before a message. The caller holds the shard's mu.
func (t *topic) hears(pos protocol.Position) {
	if t.heard.Less(pos) {
		t.heard = pos
	}
}
