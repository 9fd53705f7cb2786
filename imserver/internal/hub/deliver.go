package hub

import "github.com/imtier/imtier/pkg/protocol"

// Deliver takes a message that Redis published for one stream. It only puts it in front of the stream's shard; Flush
// must follow, once for as many as have come together. Both are for one goroutine, that of the subscription, and messages
// of a stream must come in the order of publication. A zero pos is an ephemeral message.
func (h *Hub) Deliver(st protocol.Stream, pos protocol.Position, fence uint64, m *Message) {
	s := h.shard(st)
	h.aside.add(s, s.arrive(arrival{stream: st, pos: pos, fence: fence, msg: m}))
}

// Hold creates the topic of a stream if there is none, and keeps it until Release. From now on it notes what
// arrives, so that nothing is missed between subscribing and reading the stream's tail. It reports whether the
// topic's tail is known already: if not, Settle must follow.
func (h *Hub) Hold(st protocol.Stream) (settled bool) {
	s := h.shard(st)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[st]
	if t == nil {
		t = &topic{stream: st, wire: st.String(), next: -1}
		s.topics[st] = t
	}
	t.holds++
	return t.known && !t.doubted
}

// Release ends a Hold.
func (h *Hub) Release(st protocol.Stream) {
	s := h.shard(st)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[st]; t != nil {
		t.holds--
		s.drop(t)
	}
}

// drop forgets a topic that nobody needs. The caller holds mu.
func (s *shard) drop(t *topic) {
	if t.unused() && s.topics[t.stream] == t {
		delete(s.topics, t.stream)
		s.hub.forgotten.Add(1)
	}
}

// Forgotten is how many streams have ceased to have a topic here: as long as it stays the same, there are no fewer.
func (h *Hub) Forgotten() int64 { return h.forgotten.Load() }

// Settle gives a held topic the tail that was read after subscribing. A topic that is settled stays as it is, unless it is
// empty and Redis has lived again since.
func (h *Hub) Settle(st protocol.Stream, tail protocol.Position) {
	s := h.shard(st)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch t := s.topics[st]; {
	case t == nil:
	case !t.known:
		s.adopt(t, tail)
	case t.doubted:
		t.doubted = false
		s.compare(t, tail, protocol.Position{})
	default:
		s.renew(t, tail)
	}
}

// adopt makes tail the topic's if nothing newer was seen; otherwise the rest is read from the log. The caller
// holds mu.
func (s *shard) adopt(t *topic, tail protocol.Position) {
	seen := t.seen
	t.settle(tail)
	if tail.Less(seen) {
		t.unsettle(seen)
		if !s.hub.holds(t.stream) {
			s.hub.catch.repair(t, s)
		}
	}
}

// Attach makes a connection that is not open yet follow a held stream from after pos, or from now on when pos is
// nil. It reports whether the connection did not follow it before. A group that was left since the connection was
// registered stays so: the caller may have read the memberships before.
func (h *Hub) Attach(c *Conn, st protocol.Stream, pos *protocol.Position) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.left[st] && h.attach(c, st, pos, nil)
}

// AttachSince makes a connection that is not open yet follow a held stream from where this node is, which may not have come
// as far as the log; but not from before pos, since what was said until then is not for it.
func (h *Hub) AttachSince(c *Conn, st protocol.Stream, pos protocol.Position) bool {
	s := h.shard(st)
	s.mu.Lock()
	if t := s.topics[st]; t != nil && pos.Less(t.tail) {
		pos = t.tail // a position that it passes meanwhile is read from the log
	}
	s.mu.Unlock()
	return h.Attach(c, st, &pos)
}

// Join makes a connection follow a held group from after pos, and tells it before anything of the group reaches it.
func (h *Hub) Join(c *Conn, st protocol.Stream, pos protocol.Position) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Admission != nil {
		delete(c.left, st)
	}
	return h.attach(c, st, &pos, protocol.JoinedFrame(st.Name, pos))
}

// JoinWithHistory is Join for a membership that includes what was sent before. A raw connection begins after pos all the
// same, or now when pos is nil: it gets what is sent while it is there.
func (h *Hub) JoinWithHistory(c *Conn, st protocol.Stream, pos *protocol.Position) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Admission != nil {
		delete(c.left, st)
	}
	if c.started && c.V1 {
		return h.attach(c, st, &protocol.Position{}, protocol.JoinedFrame(st.Name, protocol.Position{}))
	}
	if !h.attach(c, st, pos, nil) {
		return false
	}
	s := h.shard(st)
	s.mu.Lock()
	c.find(st).oldest = true // for its start
	s.mu.Unlock()
	return true
}

// attach adds a follow; told is what a client that has started is told. The caller holds c.mu.
func (h *Hub) attach(c *Conn, st protocol.Stream, pos *protocol.Position, told []byte) bool {
	s := h.shard(st)
	if c.gone || c.find(st) != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[st]
	if t == nil {
		return false // not held: a caller's mistake that must not crash a node
	}
	f := &follow{conn: c, t: t, pos: t.tail}
	if pos != nil {
		f.pos, f.oldest = *pos, pos.IsZero() && st.Kind == protocol.Group
		f.joined = told != nil
	}
	t.add(f)
	c.follows = append(c.follows, f)
	c.list(f, 1)
	if c.started {
		c.tell(told)
		s.resume(f)
	}
	return true
}

// resume lets a follow take messages: live when it has everything, otherwise from the log. The caller holds mu.
func (s *shard) resume(f *follow) {
	if f.pos.Less(f.t.head) {
		f.mode = behind
		s.hub.catch.conn(f.conn)
		return
	}
	f.mode = live
}

// Leave makes a connection stop following a group, and tells it. It reports whether it followed it.
func (h *Hub) Leave(c *Conn, st protocol.Stream) bool {
	c.mu.Lock()
	f := c.find(st)
	if !c.ready.Load() {
		if c.left == nil {
			c.left = make(map[protocol.Stream]bool)
		}
		c.left[st] = true
	}
	if f != nil {
		for i := range c.follows {
			if c.follows[i] == f {
				c.follows = append(c.follows[:i:i], c.follows[i+1:]...) // others may hold the old slice
				c.list(f, -1)
				break
			}
		}
	}
	c.mu.Unlock()
	if f == nil {
		return false
	}
	f.giving.Lock()
	h.detach(f)
	f.giving.Unlock()
	c.mu.Lock()
	c.tell(protocol.LeftFrame(st.Name))
	c.mu.Unlock()
	return true
}

func (h *Hub) detach(f *follow) {
	s := h.shard(f.t.stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.slot >= 0 {
		f.t.remove(f)
		s.drop(f.t)
	}
}

// find returns the follow of a stream, or nil. The caller holds c.mu.
func (c *Conn) find(st protocol.Stream) *follow {
	for _, f := range c.follows {
		if f.t.stream == st {
			return f
		}
	}
	return nil
}

// Following returns the groups that a connection follows, and up to where it was given each.
func (c *Conn) Following() map[string]protocol.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	groups := make(map[string]protocol.Position)
	for _, f := range c.follows {
		if f.t.stream.Kind == protocol.Group {
			s := c.hub.shard(f.t.stream)
			s.mu.Lock()
			groups[f.t.stream.Name] = f.pos
			s.mu.Unlock()
		}
	}
	return groups
}

// goLive tells a client that it is given messages from now on, and lets its follows take them. Nothing is fanned out between: an
// ephemeral message that is published when the client has been told must find the follow live, since it is not in the
// log. The caller holds c.mu; this is the one place where the locks of several shards are held, taken in their order.
func (h *Hub) goLive(c *Conn, tell func()) {
	needed := make([]bool, len(h.shards))
	for _, f := range c.follows {
		needed[h.place(f.t.stream)] = true
	}
	for i, s := range h.shards {
		if needed[i] {
			s.mu.Lock()
			defer s.mu.Unlock()
		}
	}
	tell()
	c.started = true
	for _, f := range c.follows {
		h.shard(f.t.stream).resume(f)
	}
}

// Streams calls visit with every stream that has a topic here. visit must not call the hub.
func (h *Hub) Streams(visit func(protocol.Stream)) {
	for _, s := range h.shards {
		s.mu.Lock()
		for st := range s.topics {
			visit(st)
		}
		s.mu.Unlock()
	}
}
