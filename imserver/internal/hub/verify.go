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
	last := h.blind.last()
	all := protocol.AllStream()
	if err := pace.Each(ctx, verifyPace, []protocol.Stream{all}, failed, h.shard(all).verify); err != nil {
		return err
	}
	for _, s := range h.shards {
		if err := pace.Each(ctx, verifyPace, s.streams(), failed, s.verify); err != nil {
			return err
		}
	}
	h.blind.compared(last)
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
	before := s.tails(sts)
	tails, err := s.hub.opts.Log.Tails(ctx, sts)
	if err != nil {
		return fmt.Errorf("compare tails: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, st := range sts {
		if t := s.topics[st]; t != nil {
			s.compare(t, tails[i].Pos, before[i])
		}
	}
	return nil
}

// tails returns how far topics have come; zero where that is not known.
func (s *shard) tails(sts []protocol.Stream) []protocol.Position {
	out := make([]protocol.Position, len(sts))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.absorb() // what arrived before the log is read
	for i, st := range sts {
		if t := s.topics[st]; t != nil && t.known {
			out[i] = t.tail
		}
	}
	return out
}

// compare repairs a topic unless it has come as far as the log. before is how far it had come before the log was read, zero
// when that is not known: a log that ends before it has lost its end, or the stream has expired. The latter is no loss, unless
// what was missed could expire with it. The caller holds mu.
func (s *shard) compare(t *topic, tail, before protocol.Position) {
	still := t.tail == before // else it has gone on since, and not without saying what is missing
	switch {
	case !t.known:
		s.adopt(t, tail)
		t.doubted = true
	case still && tail.Seq > 0 && tail.Less(before), still && tail.Seq == 0 && s.hub.hides():
		s.cut(t, tail)
	case t.tail.Seq == 0 && tail.Seq == 0:
		s.renew(t, tail)
	case t.tail.Less(tail):
		t.unsettle(tail)
		if !s.hub.holds(t.stream) {
			s.hub.catch.repair(t, s)
		}
	}
}
