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
	// stuckAfter is how long a peer may read nothing meanwhile.
	stuckAfter = 100 * time.Millisecond
)

// Departure is a leave that has been announced, and has not been acted on yet. Acting takes its turn. What was sent before the
// announcement is given meanwhile; what comes after it must not wait for the acting to be withheld.
//
// An announcement takes its place among the messages of its shard, so it is known where it ends. Until that place is reached
// nothing of what comes after it can be in a queue.
type Departure struct {
	stream protocol.Stream
	conns  []*Conn
	due    time.Time // until when who acts on it waits: those that queue up wait together

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
// in which Redis publishes, and waits for nothing. Depart must follow, or Left when it is not acted on.
func (h *Hub) Leaving(clientID, group string) *Departure {
	d := &Departure{stream: protocol.GroupOf(group), conns: h.ConnsOf(clientID), due: time.Now().Add(departPatience)}
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

// Depart has the connections leave the group when they have been given what was sent before. For that it waits until a second
// after the announcement, but not for who does not read, and not for groups that are withheld from everybody; those are told that
// something is missing.
func (h *Hub) Depart(ctx context.Context, d *Departure) {
	ctx, cancel := context.WithDeadline(ctx, d.due)
	defer cancel()
	tick := time.NewTicker(departPause)
	defer tick.Stop()
	s := h.shard(d.stream)
	for _, c := range d.conns {
		c.mu.Lock()
		f := c.find(d.stream)
		c.mu.Unlock()
		for w := (watch{}); s.owes(f, d) && ctx.Err() == nil && !h.holds(d.stream) && !s.stuck(f, &w); {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		h.cut(f, d)
		h.Leave(c, d.stream) // also of who does not follow it yet
	}
	h.Left(d)
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

// owes reports whether a follow, if there is one, is still to be given something that precedes a departure.
func (s *shard) owes(f *follow, d *Departure) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owing(f, d)
}

// owing is owes for who holds mu.
func (s *shard) owing(f *follow, d *Departure) bool {
	until := s.end(d)
	return f != nil && f.slot >= 0 && f.mode != held && until.Seq > 0 && f.pos.Less(until)
}

// watch is how far a follow had come, and since when.
type watch struct {
	pos   protocol.Position
	since time.Time
}

// stuck reports whether a follow waits for its peer, who has read nothing for a while.
func (s *shard) stuck(f *follow, w *watch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.mode != behind || f.conn.sock.Queued() == 0 || w.since.IsZero() || w.pos != f.pos {
		w.pos, w.since = f.pos, time.Now()
		return false
	}
	return time.Since(w.since) > stuckAfter
}

// cut ends a follow that has not been given everything, and says so; without room for that the client has to begin anew.
func (h *Hub) cut(f *follow, d *Departure) {
	if f == nil {
		return
	}
	s := h.shard(d.stream)
	f.giving.Lock()
	defer f.giving.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.owing(f, d) {
		return
	}
	to := d.until
	to.Seq++
	if f.conn.sendGap(f.t.wire, f.pos, to) == full {
		f.conn.end(protocol.ReasonStateLost)
	}
	f.t.remove(f)
	s.drop(f.t)
}
