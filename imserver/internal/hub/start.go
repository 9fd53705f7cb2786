package hub

import (
	"context"
	"fmt"

	"github.com/imtier/imtier/pkg/protocol"
)

// start notes where a client wants to begin and has it worked on. It reports false for a second start.
func (h *Hub) start(c *Conn, want map[protocol.Stream]protocol.Position) bool {
	c.mu.Lock()
	if c.asked {
		c.mu.Unlock()
		return false
	}
	c.asked = true
	c.want = want
	c.mu.Unlock()
	h.catch.conn(c)
	return true
}

// beginning is where one follow starts.
type beginning struct {
	f      *follow
	pos    protocol.Position
	proven bool // nothing can be missing before pos
	moved  bool // the client's position was before its membership: what lies between is not known
	oldest bool // pos is zero and stands for the oldest message there is

	tail, head protocol.Position // the topic's, before the log is read
	fetched    *batch            // what proves it is the first that the follow is to get
}

// begin answers a start: it finds out for each stream whether everything after the client's position is still
// there, tells the client, and lets messages flow. What it has read on the way is left to be given.
func (h *Hub) begin(ctx context.Context, c *Conn, want map[protocol.Stream]protocol.Position) (map[*follow]*batch, error) {
	c.mu.Lock()
	follows := c.follows
	c.mu.Unlock()

	plan := make(map[*follow]*beginning, len(follows))
	var ask []*beginning
	for _, f := range follows {
		b := h.beginningOf(c, f, want)
		plan[f] = b
		if !b.proven && !b.moved {
			ask = append(ask, b)
		}
	}
	if err := h.prove(ctx, ask); err != nil {
		return nil, err
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil, nil
	}
	st := protocol.Started{Pos: map[string]protocol.Position{}, Recovered: map[string]bool{}}
	for _, f := range c.follows {
		s := h.shard(f.t.stream)
		s.mu.Lock()
		b := plan[f]
		if b == nil { // joined while the log was read; who was there before may have missed what was said until it left
			p, asked := want[f.t.stream]
			b = &beginning{f: f, pos: f.pos, proven: !asked || p == f.pos}
			if f.oldest && !asked { // with history
				b.fromOldest()
			}
		}
		f.pos, f.oldest = b.pos, b.oldest
		s.mu.Unlock()
		st.Pos[f.t.wire], st.Recovered[f.t.wire] = b.pos, b.proven
	}
	c.Admission = nil
	h.ackStart(c, want, st.Pos)
	h.goLive(c, func() { c.must(st.Frame()) })
	fetched := make(map[*follow]*batch)
	for _, b := range ask {
		if b.fetched != nil {
			fetched[b.f] = b.fetched
		}
	}
	return fetched, nil
}

// ackStart acknowledges what a client says it has handled of its inbox, perhaps for the second time: the first may have
// died with another node. A position beyond the log was moved back, and proves nothing.
func (h *Hub) ackStart(c *Conn, want map[protocol.Stream]protocol.Position, began map[string]protocol.Position) {
	inbox := protocol.InboxOf(c.ClientID)
	if p := want[inbox]; p.Seq > 0 && began[inbox.String()] == p {
		h.opts.Acked(c, map[protocol.Stream]protocol.Position{inbox: p})
	}
}

// beginningOf decides where a follow starts: where the client says, else where its device acknowledged last,
// else an inbox after what any device of the client acknowledged, and anything else at the moment of connecting.
func (h *Hub) beginningOf(c *Conn, f *follow, want map[protocol.Stream]protocol.Position) *beginning {
	s := h.shard(f.t.stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &beginning{f: f, pos: f.pos, oldest: f.oldest, tail: f.t.tail, head: f.t.head}
	since, joined := c.Joined[f.t.wire]
	history := f.oldest || joined && since.IsZero() // the membership includes all there is
	if p, ok := want[f.t.stream]; ok {
		b.pos = p
		if p.IsZero() && (f.t.stream.Kind != protocol.Group || history) {
			return b.fromOldest()
		}
	} else if p, ok := c.Cursors[f.t.wire]; ok {
		b.pos = p
	} else {
		if f.t.stream.Kind == protocol.Inbox {
			if b.pos = c.Acked; b.pos.IsZero() {
				return b.fromOldest()
			}
			return b
		}
		if history {
			return b.fromOldest()
		}
		b.proven = true
		return b
	}
	if f.t.stream.Kind == protocol.Group {
		// A membership that ended and began again: what was said between is not for this client.
		// Joined may be of before that; or of before the stream expired, and then nothing is left to be withheld.
		if f.joined || !joined && !history || f.pos.Less(since) {
			since = f.pos
		}
		if b.pos.Less(since) {
			b.moved = !b.pos.IsZero() // zero asks for all there is, and gets it
			b.pos = since
		}
	}
	return b // even at this node's tail: Redis may have lost what came after it before the node looked
}

// follows reports whether nothing is missing between two positions, when no life of Redis ended since the first was
// written. After the end of an empty stream comes the first entry of a new one.
func follows(p, q protocol.Position) bool { return p.Next(q) || p.Seq == 0 && q.Seq == 1 }

// fromOldest begins at the oldest message there is: the client has nothing that it could miss the continuation of.
// If there is none the client begins at the end of the empty stream, so that its next start can be judged.
func (b *beginning) fromOldest() *beginning {
	b.proven = true
	if b.pos = b.f.pos; b.pos.Seq > 0 {
		b.pos, b.oldest = protocol.Position{}, true
	}
	return b
}

// prove asks the log about positions that this node cannot judge itself. Together with the answer it reads what the client
// has missed, one batch for all streams.
func (h *Hub) prove(ctx context.Context, ask []*beginning) error {
	if len(ask) == 0 {
		return nil
	}
	reads := make([]Read, len(ask))
	missed := 0
	for i, b := range ask {
		reads[i] = Read{Stream: b.f.t.stream, After: b.pos}
		if b.pos.Less(b.tail) {
			missed++
		}
	}
	for i, b := range ask {
		if b.pos.Less(b.tail) {
			reads[i].Limit = max(1, connBatch/missed)
		}
	}
	found, err := h.opts.Log.Since(ctx, reads)
	if err != nil {
		return fmt.Errorf("read where streams continue: %w", err)
	}
	for i, b := range ask {
		h.Settle(reads[i].Stream, found[i].Pos)
		if err := h.judge(ctx, b, reads[i], found[i]); err != nil {
			return err
		}
	}
	return nil
}

// judge decides what one stream's log proves about a beginning.
func (h *Hub) judge(ctx context.Context, b *beginning, r Read, found Since) error {
	tail := found.Tail
	// What this node had before the log was read is gone: the log lost its end, and nobody has raised the fence yet.
	lost := tail.Pos.Less(b.tail)
	sameLife := b.pos.Epoch >= tail.Fence && !lost
	switch {
	case tail.Pos.Less(b.pos): // the log ends before what the client has: it lost its end
		b.pos = tail.Pos
		return nil
	case b.pos == tail.Pos:
		b.proven = sameLife
		return nil
	}
	first := found.Entries
	if r.Limit == 0 { // the log is further than this node
		var err error
		if first, err = h.opts.Log.After(ctx, r.Stream, b.pos, 1); err != nil {
			return fmt.Errorf("read %s: %w", r.Stream, err)
		}
	}
	b.proven = sameLife && len(first) > 0 && follows(b.pos, first[0].Pos)
	switch {
	case r.Limit > 0 && len(first) > 0:
		b.fetched = &batch{from: b.pos, head: b.head, entries: first, limit: r.Limit, anywhere: b.proven && b.pos.Seq == 0}
	case len(first) == 0 && b.pos.Seq == 0 && tail.Pos.Seq == 0:
		b.pos = tail.Pos // empty then and now: in doubt once, and not at every start until there is a message
	}
	return nil
}
