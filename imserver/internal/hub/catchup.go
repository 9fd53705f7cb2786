package hub

import (
	"context"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// The batches in which the log is read, in messages. A topic's batch serves all its members at once.
const (
	connBatch  = 50
	topicBatch = 200
)

// catchUp gives every follow of a connection that is behind its next batch from the log.
func (h *Hub) catchUp(ctx context.Context, c *Conn) (again bool, delay time.Duration) {
	c.mu.Lock()
	want := c.want
	follows := c.follows
	over := c.gone
	c.mu.Unlock()
	if over {
		return false, 0
	}
	if want != nil {
		if err := h.begin(ctx, c, want); err != nil {
			return true, retryDelay
		}
	}
	for _, f := range follows {
		s := h.shard(f.t.stream)
		s.mu.Lock()
		from, is := f.pos, f.mode == behind && f.slot >= 0
		s.mu.Unlock()
		if !is {
			continue
		}
		entries, err := h.opts.Log.After(ctx, f.t.stream, from, connBatch)
		if err != nil {
			return true, retryDelay
		}
		last, ok := h.replay(c, f.t.wire, from, entries)
		if !ok {
			s.advance(f, last, false)
			return false, 0 // Room calls again when the peer has read
		}
		if !s.advance(f, last, len(entries) < connBatch) {
			again = true
			if len(entries) == 0 {
				delay = roomDelay
			}
		}
	}
	return again, delay
}

// replay sends messages from the log. It returns the last position passed, and false when the socket is full or
// closed.
func (h *Hub) replay(c *Conn, stream string, from protocol.Position, entries []Entry) (protocol.Position, bool) {
	for _, e := range entries {
		if !from.IsZero() && !from.Next(e.Pos) && c.V1 {
			c.sendGap(stream, from, e.Pos)
		}
		if !e.Msg.excludes(c) {
			it := item{pos: e.Pos, msg: e.Msg}
			if c.send(it.frame(c, stream)) != sent {
				return from, false
			}
			h.counters.Replayed.Add(1)
		}
		from = e.Pos
	}
	return from, true
}

// advance notes how far a follow has been read and makes it live when end is set and it has everything. It
// reports whether nothing is left to do for it.
func (s *shard) advance(f *follow, pos protocol.Position, end bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.pos = pos
	if f.slot < 0 {
		return true
	}
	if !end || pos.Less(f.t.head) {
		return false
	}
	f.mode = live
	return true
}

// repairTopic reads what a topic has missed and queues it for all members.
func (h *Hub) repairTopic(ctx context.Context, s *shard, t *topic) (again bool, delay time.Duration) {
	s.mu.Lock()
	from, crowded := t.tail, len(t.queue)+topicBatch > maxQueued
	forgotten := s.topics[t.stream] != t
	s.mu.Unlock()
	if forgotten {
		return false, 0
	}
	if crowded {
		return true, roomDelay
	}
	entries, err := h.opts.Log.After(ctx, t.stream, from, topicBatch)
	if err != nil {
		return true, retryDelay
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		it := &item{pos: e.Pos, msg: e.Msg}
		if prev := t.tail; !prev.IsZero() && !prev.Next(e.Pos) {
			it.gap = &prev
		}
		t.tail = e.Pos
		s.enqueue(t, it)
	}
	s.poke()
	if len(entries) == topicBatch {
		return true, 0
	}
	// What was seen meanwhile was in the log before it arrived: a short batch includes it. Should Redis have
	// lost it, its successors come with a new epoch and are told as a gap.
	t.settle(t.tail)
	t.repairing = false
	return false, 0
}
