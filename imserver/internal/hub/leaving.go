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

// Departure is a leave that has been announced, and has not been acted on yet. Acting takes its turn: until then what was sent
// before the leave is given, and what came after it is withheld.
type Departure struct {
	stream protocol.Stream
	conns  []*Conn
	until  protocol.Position // what comes after it is not for the client
	due    time.Time         // until when who acts on it waits: those that queue up wait together
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

// Leaving withholds from the client's connections what a group was sent after until, where its stream ended when the client was no
// member any more, whatever arrives; a zero until withholds everything. It is called in the order in which Redis publishes, and
// waits for nothing. Depart must follow, or Left when it is not acted on.
func (h *Hub) Leaving(clientID, group string, until protocol.Position) *Departure {
	d := &Departure{stream: protocol.GroupOf(group), conns: h.ConnsOf(clientID), until: until, due: time.Now().Add(departPatience)}
	for _, c := range d.conns {
		c.leaving.add(d)
	}
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
		for w := (watch{}); s.owes(f, d.until) && ctx.Err() == nil && !h.holds(d.stream) && !s.stuck(f, &w); {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		h.LeaveAt(c, d.stream, d.until) // also of who does not follow it yet
	}
	h.Left(d)
}

// LeaveAt makes a connection stop following a group, and tells it. It reports whether it followed it. What it has not been given
// up to end, in whose place nothing will come, is told as a gap.
func (h *Hub) LeaveAt(c *Conn, st protocol.Stream, end protocol.Position) bool {
	c.mu.Lock()
	f := c.find(st)
	c.mu.Unlock()
	h.cut(f, end)
	return h.Leave(c, st)
}

// Left ends what Leaving began.
func (h *Hub) Left(d *Departure) {
	for _, c := range d.conns {
		c.leaving.end(d)
	}
}

// Stay ends what Leaving began, for those who are members still or again: what was withheld from them is given from the log.
func (h *Hub) Stay(d *Departure) {
	s := h.shard(d.stream)
	for _, c := range d.conns {
		c.mu.Lock()
		s.stay(c, c.find(d.stream), d)
		c.mu.Unlock()
	}
}

// stay is Stay for one connection, and its follow if there is one. Both parts of it are one step: a message that is given between
// them would pass over what was withheld. The caller holds c.mu.
func (s *shard) stay(c *Conn, f *follow, d *Departure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.leaving.end(d)
	switch {
	case f == nil || f.slot < 0 || f.mode == held:
	case f.mode == live:
		s.resume(f)
	default:
		s.hub.catch.conn(c)
	}
}

// withholds reports whether a message comes after a departure, if there is one.
func (d *Departure) withholds(pos protocol.Position) bool {
	return d != nil && (d.until.Less(pos) || pos.IsZero())
}

// before returns the entries that precede a departure.
func (d *Departure) before(entries []Entry) []Entry {
	for i, e := range entries {
		if d.withholds(e.Pos) {
			return entries[:i]
		}
	}
	return entries
}

// owes reports whether a follow, if there is one, is still to be given something up to end.
func (s *shard) owes(f *follow, end protocol.Position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.owed(end)
}

// owed is owes for who holds mu.
func (f *follow) owed(end protocol.Position) bool {
	return f != nil && f.slot >= 0 && f.mode != held && end.Seq > 0 && f.pos.Less(end)
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

// cut ends a follow that has not been given everything up to end, and says so; without room for that the client has to begin
// anew.
func (h *Hub) cut(f *follow, end protocol.Position) {
	if f == nil {
		return
	}
	s := h.shard(f.t.stream)
	f.giving.Lock()
	defer f.giving.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !f.owed(end) {
		return
	}
	end.Seq++
	if f.conn.sendGap(f.t.wire, f.pos, end) == full {
		f.conn.end(protocol.ReasonStateLost)
	}
	f.t.remove(f)
	s.drop(f.t)
}
