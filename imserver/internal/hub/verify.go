package hub

import (
	"context"
	"fmt"

	"github.com/imtier/imtier/pkg/protocol"
)

// verifyBatch is how many tails are read in one go.
const verifyBatch = 512

// Verify compares the tail of every topic with the log and repairs those that missed something. It is called
// after the subscription was interrupted, or when arrivals were dropped.
func (h *Hub) Verify(ctx context.Context) error {
	var all []protocol.Stream
	h.Streams(func(st protocol.Stream) { all = append(all, st) })
	for len(all) > 0 {
		part := all[:min(verifyBatch, len(all))]
		all = all[len(part):]
		tails, err := h.opts.Log.Tails(ctx, part)
		if err != nil {
			return fmt.Errorf("compare tails: %w", err)
		}
		for i, st := range part {
			h.compare(st, tails[i].Pos)
		}
	}
	return nil
}

func (h *Hub) compare(st protocol.Stream, tail protocol.Position) {
	s := h.shard(st)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[st]
	switch {
	case t == nil:
	case !t.known:
		s.adopt(t, tail)
	case t.tail.Seq == 0 && tail.Seq == 0:
		t.renew(tail)
	case t.tail.Less(tail):
		t.unsettle(tail)
		if !s.hub.holds(st) {
			s.hub.catch.repair(t, s)
		}
	}
	// A tail before ours means that Redis lost its end. The next message comes with a new epoch, does not
	// continue ours, and is told as a gap.
}
