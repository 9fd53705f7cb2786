package hub

// Why the subscription's goroutine fans out itself. Handing a message over to a shard's goroutine wakes a thread, and
// often a processor, which takes longer than writing it to one socket. So what came alone, or with few others, is
// written by the goroutine that has read it, before it waits for Redis again; with sends through webapi that is nearly
// always so. What is much (a burst, a large group) goes to the shards' goroutines, which work side by side while more is
// read.
const (
	// maxAside is how many arrivals that came together are little: done one after the other they hold up what comes
	// next for half a millisecond, at 10 to 15 µs each.
	maxAside = 32
	// asideWrites is to how many sockets of a shard they are written in one go, for the same reason; the shard's
	// goroutine does the rest.
	asideWrites = 32
)

// aside are the shards in front of which something waits since the subscription last paused, and whose goroutines have
// not been told. It belongs to the goroutine that calls Deliver and Flush.
type aside struct {
	shards   []*shard
	arrivals int // since then, for all shards
}

// add notes an arrival. idle says that nothing waited in front of its shard before.
func (a *aside) add(s *shard, idle bool) {
	if idle {
		a.shards = append(a.shards, s)
	}
	if a.arrivals++; a.arrivals > maxAside {
		for _, s := range a.shards {
			s.poke()
		}
		a.shards = a.shards[:0]
	}
}

// Flush delivers what was put aside by Deliver, or leaves it to the shards' goroutines.
func (h *Hub) Flush() {
	for _, s := range h.aside.shards {
		s.stepHere()
	}
	h.aside.shards = h.aside.shards[:0]
	h.aside.arrivals = 0
}

// stepHere steps on the caller's goroutine, unless the shard's own is at it.
func (s *shard) stepHere() {
	if !s.turn.TryLock() {
		s.poke()
		return
	}
	more := s.step(asideWrites)
	s.turn.Unlock()
	if more {
		s.poke()
	}
}
