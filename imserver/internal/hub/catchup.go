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
	var want map[protocol.Stream]protocol.Position
	if c.Admission != nil {
		want = c.want
	}
	follows := c.follows
	over := c.gone
	c.mu.Unlock()
	if over {
		return false, 0
	}
	var fetched map[*follow]*batch
	if want != nil {
		var err error
		if fetched, err = h.begin(ctx, c, want); err != nil {
			return true, retryDelay
		}
	}
	for _, f := range follows {
		more, err := h.catchUpOne(ctx, c, f, fetched[f])
		switch {
		case err != nil:
			return true, retryDelay
		case more == waits:
			return false, 0 // Room calls again when the peer has read
		case more == unfinished:
			again = true
		}
	}
	return again, 0
}

type progress uint8

const (
	finished   progress = iota // live, or not behind at all
	unfinished                 // there may be more in the log
	waits                      // the socket is full or closed
)

// batch is what was read from a log for one follow.
type batch struct {
	from     protocol.Position // what is read follows it
	anywhere bool              // the first one need not be the next after from
	head     protocol.Position // the topic's before it was read: what had arrived by then was in the log
	entries  []Entry
	limit    int // of entries; if there are fewer the log ends there
}

// catchUpOne gives one follow its next batch: what was fetched when it started, if anything was, or the next from the log.
func (h *Hub) catchUpOne(ctx context.Context, c *Conn, f *follow, fetched *batch) (progress, error) {
	s := h.shard(f.t.stream)
	s.mu.Lock()
	next := batch{from: f.pos, head: f.t.head, anywhere: f.oldest && f.pos.IsZero(), limit: connBatch - int(c.spared)}
	var doubt *protocol.Position
	if floor := f.t.floor; f.missed {
		doubt = &floor
	}
	is := f.mode == behind && f.slot >= 0
	s.mu.Unlock()
	if !is || h.holds(f.t.stream) { // ReleaseGroups calls again
		return finished, nil
	}
	if fetched != nil && fetched.from == next.from {
		next = *fetched
	} else if err := h.fetch(ctx, f.t.stream, &next); err != nil {
		return unfinished, err
	}
	from, head, anywhere, limit := next.from, next.head, next.anywhere, next.limit
	end := len(next.entries) < limit
	entries, all, err := h.heardOf(ctx, s, f.t, next.entries)
	if err != nil {
		return unfinished, err
	}
	end = end && all
	f.giving.Lock()
	defer f.giving.Unlock()
	if !s.has(f) || h.holds(f.t.stream) {
		return finished, nil // left, or in doubt, while the log was read
	}
	if d := c.leaving.first(f.t.stream); d != nil {
		if entries, end = d.before(entries), false; len(entries) == 0 {
			return finished, nil
		}
	}
	last, ok := h.replay(c, f.t.wire, from, anywhere, doubt, entries)
	told := doubt != nil && from.Less(last) && doubt.Less(last)
	c.adapt(limit, entries, last, ok)
	switch {
	case !ok || !end || !last.Less(head):
	case last.IsZero() && anywhere && head.Seq == 0:
		last = head // everything there is has been given: nothing
	default:
		// The head was in the log when it arrived, before this read: Redis has lost it. Nothing will ever come
		// after last in its epoch, so waiting for it would be for ever. The head itself is missing too, so the gap ends
		// behind it, unless it is the end of an empty stream and no message.
		to := head
		if to.Seq > 0 {
			to.Seq++
		}
		if ok = c.sendGap(f.t.wire, last, to) == sent; ok {
			last = head
		}
	}
	switch {
	case s.advance(f, last, ok && end, told):
		return finished, nil
	case !ok:
		return waits, nil
	}
	return unfinished, nil
}

// fetch reads a batch.
func (h *Hub) fetch(ctx context.Context, st protocol.Stream, b *batch) (err error) {
	if b.entries, err = h.opts.Log.After(ctx, st, b.from, b.limit); err != nil || b.anywhere {
		return err
	}
	b.anywhere, err = h.firstOfNew(ctx, st, b.from, b.entries)
	return err
}

// has tells whether a follow has not ended.
func (s *shard) has(f *follow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.slot >= 0
}

// adapt chooses how much less than a whole batch is read the next time: about what the socket took of this one. A
// slow peer with large messages would otherwise have each of them read many times over.
func (c *Conn) adapt(limit int, entries []Entry, last protocol.Position, ok bool) {
	next := min(2*limit, connBatch)
	if !ok {
		next = 1
		for next < len(entries) && !last.Less(entries[next].Pos) {
			next++
		}
	}
	c.spared = int32(connBatch - next)
}

// firstOfNew reports whether entries begin a stream that was empty at from and has lost nothing since: no life of
// Redis ended between.
func (h *Hub) firstOfNew(ctx context.Context, st protocol.Stream, from protocol.Position, entries []Entry) (bool, error) {
	if from.Seq != 0 || len(entries) == 0 || entries[0].Pos.Seq != 1 {
		return false, nil
	}
	tails, err := h.opts.Log.Tails(ctx, []protocol.Stream{st})
	if err != nil {
		return false, err
	}
	return from.Epoch >= tails[0].Fence, nil
}

// replay sends messages from the log; anywhere means that the first one need not follow from, and doubt, unless nil, where
// something may be missing all the same. It returns the last position passed, and false when the socket is full or closed.
func (h *Hub) replay(c *Conn, stream string, from protocol.Position, anywhere bool, doubt *protocol.Position, entries []Entry) (protocol.Position, bool) {
	b := bundle{c: c, passed: from}
	for _, e := range entries {
		if doubted := doubt != nil && doubt.Less(e.Pos); doubted || !from.Next(e.Pos) && !anywhere {
			if !b.send(from) || c.sendGap(stream, from, e.Pos) != sent {
				return b.passed, false
			}
			if doubted {
				doubt = nil
			}
		}
		anywhere = false
		if !e.Msg.excludes(c) {
			it := item{pos: e.Pos, msg: e.Msg}
			c.takes(e.Msg)
			b.frames = append(b.frames, it.frame(c, stream)...)
			b.entries = append(b.entries, e)
		}
		from = e.Pos
		if len(b.frames) >= bundleSize && !b.send(from) {
			return b.passed, false
		}
	}
	ok := b.send(from)
	return b.passed, ok
}

// bundleSize is how many bytes of frames from the log are written at once: a write costs more than a small frame.
const bundleSize = 16 << 10

// bundle is frames of one follow that are written together.
type bundle struct {
	c       *Conn
	frames  []byte
	entries []Entry           // whose frames they are
	passed  protocol.Position // up to where everything was sent or left out
}

// send writes what is collected; with it, everything up to pos has been passed. It reports false when the socket is
// full or closed.
func (b *bundle) send(pos protocol.Position) bool {
	if len(b.frames) > 0 && b.c.send(b.frames) != sent {
		return false
	}
	for _, e := range b.entries {
		b.c.took(e.Pos, e.Msg)
	}
	b.c.hub.counters.Replayed.Add(int64(len(b.entries)))
	b.frames, b.entries, b.passed = nil, b.entries[:0], pos // the socket keeps frames that it could not write yet
	return true
}

// advance notes how far a follow has been read, and what it was told of, and makes it live when end is set and it has
// everything. It reports whether nothing is left to do for it.
func (s *shard) advance(f *follow, pos protocol.Position, end, told bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.pos = pos
	if told {
		f.missed = false
	}
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
	from, seen, crowded := t.tail, t.seen, !s.hasRoom(t, topicBatch)
	forgotten := s.topics[t.stream] != t
	s.mu.Unlock()
	if forgotten {
		return false, 0
	}
	if h.holds(t.stream) {
		return h.heldBack(s, t)
	}
	if crowded {
		return true, roomDelay
	}
	entries, err := h.opts.Log.After(ctx, t.stream, from, topicBatch)
	if err != nil {
		return true, retryDelay
	}
	first, err := h.firstOfNew(ctx, t.stream, from, entries)
	if err != nil {
		return true, retryDelay
	}
	full := len(entries) == topicBatch
	entries, all, err := h.heardOf(ctx, s, t, entries)
	if err != nil {
		return true, retryDelay
	}
	if h.holds(t.stream) {
		return h.heldBack(s, t)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		it := &item{pos: e.Pos, msg: e.Msg}
		if prev := t.tail; !prev.Next(e.Pos) && !first {
			it.gap = &prev
		}
		first = false
		t.tail = e.Pos
		s.enqueue(t, it)
	}
	s.poke()
	if full || !all || seen.Less(t.seen) && t.tail.Less(t.seen) {
		return true, 0 // there is more, or something arrived that may have been written after the read
	}
	// What had arrived before the read was in the log then: a short batch includes it. Should Redis have lost it,
	// its successors come with a new epoch and are told as a gap.
	t.settle(t.tail)
	t.repairing = false
	return false, 0
}

// heldBack takes a group's topic out of the catch-up; ReleaseGroups brings it back.
func (h *Hub) heldBack(s *shard, t *topic) (again bool, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !h.holds(t.stream) {
		return true, 0 // released meanwhile
	}
	t.repairing = false
	return false, 0
}
