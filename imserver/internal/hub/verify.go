package hub

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/imtier/imtier/imserver/internal/pace"
	"github.com/imtier/imtier/pkg/protocol"
)

// verifyPace: somebody may wait for what a stream has missed.
var verifyPace = pace.Pace{Size: 512, Rest: 1}

// Verify compares the tail of every topic with the log and repairs those that missed something. It is called
// after the subscription was interrupted, or when arrivals were dropped. What everybody follows comes first. What fails is
// tried again, and failed told; the error is ctx's.
func (h *Hub) Verify(ctx context.Context, failed func(error)) error {
	all := protocol.AllStream()
	if err := pace.Each(ctx, verifyPace, []protocol.Stream{all}, failed, h.shard(all).verify); err != nil {
		return err
	}
	for _, s := range h.shards {
		if err := pace.Each(ctx, verifyPace, s.streams(), failed, s.verify); err != nil {
			return err
		}
	}
	return nil
}

// streams lists the streams of a shard's topics.
func (s *shard) streams() []protocol.Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.topics))
}

// verify compares topics of a shard. It takes the lock once, since a fan-out may have to be waited for each time.
func (s *shard) verify(ctx context.Context, sts []protocol.Stream) error {
	tails, err := s.hub.opts.Log.Tails(ctx, sts)
	if err != nil {
		return fmt.Errorf("compare tails: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, st := range sts {
		if t := s.topics[st]; t != nil {
			s.compare(t, tails[i].Pos)
		}
	}
	return nil
}

// compare repairs a topic unless it has come as far as the log. The caller holds mu.
func (s *shard) compare(t *topic, tail protocol.Position) {
	switch {
	case !t.known:
		s.adopt(t, tail)
		t.doubted = true
	case t.tail.Seq == 0 && tail.Seq == 0:
		t.renew(tail)
	case t.tail.Less(tail):
		t.unsettle(tail)
		if !s.hub.holds(t.stream) {
			s.hub.catch.repair(t, s)
		}
	}
	// A tail before ours means that Redis lost its end. The next message comes with a new epoch, does not
	// continue ours, and is told as a gap.
}
