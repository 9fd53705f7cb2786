package hub

import "github.com/imtier/imtier/pkg/protocol"

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
