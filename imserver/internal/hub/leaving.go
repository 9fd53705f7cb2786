package hub

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

const (
	// departPatience is how long a leave waits for what was sent before it: until that is told as a gap.
	departPatience = time.Second
	departPause    = time.Millisecond
)

// Departure is a leave that has been announced, and has not been acted on yet. Acting takes its turn. What was sent before the
// announcement is given meanwhile; what comes after it must not wait for the acting to be withheld.
//
// An announcement takes its place among the messages of its shard, so it is known where it ends. Until that place is reached
// nothing of what comes after it can be in a queue.
type Departure struct {
	stream protocol.Stream
	conns  []*Conn

	// Guarded by the shard's mu.
	placed bool
	until  protocol.Position // the last message before it that is known to this node
}

// leavings are the departures of a connection.
type leavings struct {
	any atomic.Int32 // of how many groups: most of the time none, and looking costs nothing

	mu     sync.Mutex
	groups map[string][]*Departure // by group, the first first
}

func (l *leavings) add(d *Departure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.groups == nil {
		l.groups = make(map[string][]*Departure)
	}
	l.groups[d.stream.Name] = append(l.groups[d.stream.Name], d)
	l.any.Store(int32(len(l.groups)))
}

func (l *leavings) end(d *Departure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	group := d.stream.Name
	var left []*Departure
	for _, other := range l.groups[group] {
		if other != d {
			left = append(left, other)
		}
	}
	if l.groups[group] = left; left == nil {
		delete(l.groups, group)
	}
	if len(l.groups) == 0 {
		l.groups = nil
	}
	l.any.Store(int32(len(l.groups)))
}

// first returns the departure that is acted on next; nil when there is none.
func (l *leavings) first(st protocol.Stream) *Departure {
	if st.Kind != protocol.Group || l.any.Load() == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if all := l.groups[st.Name]; len(all) > 0 {
		return all[0]
	}
	return nil
}

// Leaving withholds from the client's connections what a group is sent from now on, whatever arrives. It is called in the order
// in which Redis publishes, and waits for nothing. Left must follow, after Leave.
func (h *Hub) Leaving(clientID, group string) *Departure {
	d := &Departure{stream: protocol.GroupOf(group), conns: h.ConnsOf(clientID)}
	if len(d.conns) == 0 {
		return d
	}
	s := h.shard(d.stream)
	s.arrive(arrival{stream: d.stream, leave: d}) // first: who finds the departure must find its place
	for _, c := range d.conns {
		c.leaving.add(d)
	}
	s.poke()
	return d
}

// Depart waits until the connections have been given what was sent before the leave. It does so for a second, and not for who
// does not read; those are told that something is missing.
func (h *Hub) Depart(ctx context.Context, d *Departure) {
	ctx, cancel := context.WithTimeout(ctx, departPatience)
	defer cancel()
	tick := time.NewTicker(departPause)
	defer tick.Stop()
	s := h.shard(d.stream)
	for _, c := range d.conns {
		c.mu.Lock()
		f := c.find(d.stream)
		c.mu.Unlock()
		for f != nil && s.owes(f, d) {
			if !s.stuck(f) {
				select {
				case <-tick.C:
					continue
				case <-ctx.Done():
				}
			}
			h.cut(f, d)
		}
	}
}

// Left ends what Leaving began.
func (h *Hub) Left(d *Departure) {
	for _, c := range d.conns {
		c.leaving.end(d)
	}
}

// end returns where a departure ends. The caller holds mu.
func (s *shard) end(d *Departure) protocol.Position {
	if !d.placed {
		s.absorb()
	}
	return d.until
}

// place notes where a departure ends. The caller holds mu.
func (d *Departure) place(t *topic) {
	d.placed = true
	if t != nil {
		if d.until = t.tail; d.until.Less(t.heard) {
			d.until = t.heard
		}
	}
}

// withholds reports whether a message comes after a departure. The caller holds mu.
func (s *shard) withholds(d *Departure, pos protocol.Position) bool {
	return d != nil && (s.end(d).Less(pos) || pos.IsZero())
}

// before returns the entries that precede a departure.
func (s *shard) before(d *Departure, entries []Entry) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range entries {
		if s.withholds(d, e.Pos) {
			return entries[:i]
		}
	}
	return entries
}

// owes reports whether a follow is still to be given something that precedes a departure.
func (s *shard) owes(f *follow, d *Departure) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := s.end(d)
	return f.slot >= 0 && f.mode != held && until.Seq > 0 && f.pos.Less(until)
}

// stuck reports whether a follow waits for its peer to read.
func (s *shard) stuck(f *follow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.mode == behind && f.conn.sock.Queued() > 0
}

// cut ends a follow before it has been given everything, and says so.
func (h *Hub) cut(f *follow, d *Departure) {
	s := h.shard(d.stream)
	f.giving.Lock()
	defer f.giving.Unlock()
	if !s.owes(f, d) {
		return
	}
	s.mu.Lock()
	from, to := f.pos, d.until
	s.mu.Unlock()
	to.Seq++
	f.conn.sendGap(f.t.wire, from, to)
	h.detach(f)
}

// HoldGroups withholds the messages of all groups: memberships may have ended without a word to this node. Nothing is lost by
// it, ReleaseGroups has everything read from the log.
func (h *Hub) HoldGroups() { h.held.Store(true) }

// ReleaseGroups lets the messages of groups flow again.
func (h *Hub) ReleaseGroups() {
	if !h.held.CompareAndSwap(true, false) {
		return
	}
	for _, s := range h.shards {
		s.mu.Lock()
		for st, t := range s.topics {
			if st.Kind != protocol.Group {
				continue
			}
			if t.known && !t.settled {
				h.catch.repair(t, s)
			}
			for _, f := range t.members {
				if f.mode == behind {
					h.catch.conn(f.conn)
				}
			}
		}
		s.mu.Unlock()
	}
}

// holds tells whether messages of a stream are withheld from everybody.
func (h *Hub) holds(st protocol.Stream) bool { return st.Kind == protocol.Group && h.held.Load() }
