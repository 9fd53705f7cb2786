package hub

import (
	"sync"
	"sync/atomic"

	"github.com/imtier/imtier/pkg/protocol"
)

// leavings are the groups of a connection whose end has been announced and not been acted on yet. Acting takes its turn;
// what comes after the announcement must not wait for that to be withheld.
type leavings struct {
	any atomic.Int32 // how many there are: most of the time none, and looking costs nothing

	mu     sync.Mutex
	groups map[string]int // announcements by group
}

func (l *leavings) add(group string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.groups == nil {
		l.groups = make(map[string]int)
	}
	if l.groups[group] += n; l.groups[group] == 0 {
		delete(l.groups, group)
	}
	if len(l.groups) == 0 {
		l.groups = nil
	}
	l.any.Store(int32(len(l.groups)))
}

func (l *leavings) has(st protocol.Stream) bool {
	if st.Kind != protocol.Group || l.any.Load() == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.groups[st.Name] > 0
}

// Leaving withholds a group from the client's connections from now on, whatever arrives. It is called in the order in which
// Redis publishes, waits for nothing, and returns the connections. Left must follow, after Leave.
func (h *Hub) Leaving(clientID, group string) []*Conn {
	conns := h.ConnsOf(clientID)
	for _, c := range conns {
		c.leaving.add(group, 1)
	}
	return conns
}

// Left ends what Leaving began.
func (h *Hub) Left(conns []*Conn, group string) {
	for _, c := range conns {
		c.leaving.add(group, -1)
	}
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
