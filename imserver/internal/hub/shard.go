package hub

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/imtier/imtier/pkg/protocol"
)

const (
	// sliceWrites is how many sockets are written to before others get their turn: at about 7 µs a write, a
	// direct message waits for a broadcast for under 2 ms.
	sliceWrites = 256
	// nearBatch is for how many members memory is read at once: more than a processor waits for at the same time, and few
	// enough that writing to the first ones does not push it out of the caches.
	nearBatch = 16
	// maxArrivals is how many bytes of messages may wait in front of one shard. Beyond it they are dropped and
	// the topics are compared with the log afterwards.
	maxArrivals = 32 << 20
	// arrivalSize is what a message takes besides its data, in bytes.
	arrivalSize = 512
	// maxSpare is up to how many arrivals, or topics to run, a list of them is used again.
	maxSpare = 256
)

// shard owns a part of the topics: one lock, and one goroutine that fans out what is not done at once (aside.go).
type shard struct {
	hub *Hub

	in struct {
		sync.Mutex
		items []arrival
		bytes int
		lost  bool
	}
	wake chan struct{} // has one element when there may be work
	busy atomic.Bool   // the shard's goroutine is at work
	turn sync.Mutex    // who holds it may step

	mu     sync.Mutex
	spare  []arrival // an empty list, to be used for the next arrivals
	topics map[protocol.Stream]*topic
	run    []*topic // topics with a queue, in turn
	queued int      // bytes of messages in all queues
	near   int32    // see topic.near
}

// arrival is one message for one topic, as it came from Redis.
type arrival struct {
	stream protocol.Stream
	pos    protocol.Position
	fence  uint64
	msg    *Message
}

// arrive takes a message from the bus. It never waits for a fan-out. It reports whether it is the first that waits: then
// somebody has to step.
func (s *shard) arrive(a arrival) (first bool) {
	s.in.Lock()
	defer s.in.Unlock()
	first = len(s.in.items) == 0
	if s.in.bytes > maxArrivals {
		s.in.lost = true
	} else {
		s.in.items = append(s.in.items, a)
		s.in.bytes += len(a.msg.Data) + arrivalSize
	}
	return first
}

func (s *shard) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// loop fans out until ctx ends.
func (s *shard) loop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		s.busy.Store(true)
		for more := true; more && ctx.Err() == nil; {
			s.turn.Lock()
			more = s.step(sliceWrites)
			s.turn.Unlock()
		}
		s.busy.Store(false)
	}
}

// step takes what has arrived and writes to at most so many sockets. It reports whether there may be more to do. The caller
// holds turn.
func (s *shard) step(writes int) bool {
	s.mu.Lock()
	s.absorb()
	s.slice(writes)
	more := len(s.run) > 0
	s.mu.Unlock()

	s.in.Lock()
	lost := s.in.lost
	s.in.lost = false
	s.in.Unlock()
	if lost {
		s.hub.counters.Dropped.Add(1)
		s.hub.opts.Lost()
	}
	return more
}

// absorb takes what has arrived. The caller holds mu.
func (s *shard) absorb() {
	s.in.Lock()
	items := s.in.items
	s.in.items, s.in.bytes = s.spare, 0
	s.in.Unlock()
	s.spare = nil
	for i := range items {
		s.accept(&items[i])
	}
	if cap(items) <= maxSpare {
		clear(items) // or it would keep what was sent
		s.spare = items[:0]
	}
}

// accept puts an arrival into its topic's queue if it continues the tail. The caller holds mu.
func (s *shard) accept(a *arrival) {
	t := s.topics[a.stream]
	if t != nil {
		t.hears(a.pos)
	}
	switch {
	case t == nil: // nobody here follows it
	case s.hub.holds(a.stream):
		if !a.pos.IsZero() && t.tail.Less(a.pos) {
			t.unsettle(a.pos)
		}
	case a.pos.IsZero():
		s.enqueue(t, &item{msg: a.msg})
	case !t.settled:
		t.unsettle(a.pos)
	case !t.tail.Less(a.pos): // known already
	case t.continues(a.pos, a.fence) && s.hasRoom(t, 1):
		it := &item{pos: a.pos, msg: a.msg}
		if !t.tail.Next(a.pos) && s.hub.hides() {
			prev := t.tail
			it.gap = &prev
		}
		t.tail = a.pos
		s.enqueue(t, it)
	default:
		t.unsettle(a.pos)
		s.hub.catch.repair(t, s)
	}
}

// enqueue queues an item for fan-out. The caller holds mu.
func (s *shard) enqueue(t *topic, it *item) {
	if len(t.members) == 0 && len(t.queue) == 0 {
		if !it.pos.IsZero() {
			t.head = it.pos
		}
		return
	}
	if it.pos.IsZero() && !s.hasRoom(t, 1) {
		return // an ephemeral message may be dropped
	}
	t.queue = append(t.queue, it)
	s.queued += len(it.msg.Data) + arrivalSize
	if len(t.queue) == 1 {
		t.begin()
	}
	if !t.scheduled {
		t.scheduled = true
		s.run = append(s.run, t)
	}
}

// hasRoom reports whether n more messages of a topic may be queued. The caller holds mu.
func (s *shard) hasRoom(t *topic, n int) bool {
	return len(t.queue)+n <= maxQueued && s.queued < maxArrivals
}

// begin starts the fan-out of queue[0].
func (t *topic) begin() {
	t.next = len(t.members) - 1
	if it := t.queue[0]; !it.pos.IsZero() {
		t.head = it.pos
		if it.cut {
			t.floor = it.pos
		}
	}
}

// slice writes to at most so many sockets, topics taking turns. The caller holds mu.
func (s *shard) slice(budget int) {
	delivered, turn := int64(0), 0
	for ; budget > 0 && turn < len(s.run); turn++ {
		t := s.run[turn]
		it := t.queue[0]
		for ; t.next >= 0 && budget > 0; t.next-- {
			if t.next%nearBatch == nearBatch-1 {
				s.near += t.near()
			}
			if s.give(t.members[t.next], it) {
				delivered++
			}
			budget--
		}
		if t.next < 0 {
			budget-- // an item without members is work too
			s.queued -= len(it.msg.Data) + arrivalSize
			t.queue[0] = nil
			t.queue = t.queue[1:]
			if len(t.queue) > 0 {
				t.begin()
			} else {
				t.queue = nil
			}
		}
		if len(t.queue) > 0 {
			s.run = append(s.run, t)
		} else {
			t.scheduled = false
		}
	}
	s.hub.counters.Delivered.Add(delivered)
	s.run = slices.Delete(s.run, 0, turn)
	if len(s.run) == 0 && cap(s.run) > maxSpare {
		s.run = nil
	}
}

// near reads what delivering to the next nearBatch members needs of each: one delivery after the other would wait for the memory of
// its follow, then of its connection, then of its socket, and these waits overlap. What it returns means nothing, but the
// reads would be left out if it were not used. The caller holds the shard's mu.
func (t *topic) near() (sum int32) {
	for _, f := range t.members[t.next+1-nearBatch : t.next+1] {
		if f.mode == live { // so it has its socket
			sum += f.conn.sock.Near()
		}
	}
	return sum
}

// give hands one message to one member and reports whether the socket took it. The caller holds mu.
func (s *shard) give(f *follow, it *item) bool {
	c := f.conn
	if it.cut {
		f.missed = true
		return false
	}
	back := !it.pos.IsZero() && !f.pos.Less(it.pos) // known already, unless the log has been cut
	if f.mode != live || back && !f.missed || c.leaving.first(f.t.stream).withholds(it.pos) {
		return false
	}
	if back && c.V1 { // positions only rise for a client, until it begins anew
		c.end(protocol.ReasonStateLost)
		return false
	}
	result := sent
	switch { // also told to those whom the message leaves out
	case !it.pos.IsZero() && f.missed:
		result = c.sendGap(f.t.wire, f.pos, it.pos)
	case it.gap != nil:
		result = c.sendGap(f.t.wire, *it.gap, it.pos)
	}
	if it.msg.excludes(c) && result == sent {
		f.pass(it.pos)
		return false
	}
	if result == sent {
		c.takes(it.msg)
		result = c.send(it.frame(c, f.t.wire))
	}
	switch result {
	case sent:
		f.pass(it.pos)
		c.took(it.pos, it.msg)
	case full:
		if !it.pos.IsZero() {
			f.mode = behind // Conn.Room brings it to the catch-up
			s.hub.counters.Behind.Add(1)
		}
	}
	return result == sent
}

// pass moves the position over a message; an ephemeral one has none.
func (f *follow) pass(pos protocol.Position) {
	if !pos.IsZero() {
		f.pos, f.missed = pos, false
	}
}
