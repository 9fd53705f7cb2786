package hub

import "github.com/imtier/imtier/pkg/protocol"

// Stats is the hub's state at a moment.
type Stats struct {
	Connections int `json:"connections"`
	Clients     int `json:"clients"`
	Groups      int `json:"groups"`     // followed here
	Streams     int `json:"streams"`    // followed here, inboxes and broadcasts included
	QueueBytes  int `json:"queueBytes"` // kept for peers that do not read
	Arrivals    int `json:"arrivals"`   // bytes of messages in front of the shards
	CatchingUp  int `json:"catchingUp"` // connections and streams waiting to read the log
}

// Stats counts; it visits every connection and stream, so call it for people and scrapes only.
func (h *Hub) Stats() Stats {
	var s Stats
	h.mu.Lock()
	s.Connections, s.Clients = h.roster.len(), len(h.clients)
	h.mu.Unlock()
	for _, c := range h.Conns() {
		if c.ready.Load() {
			s.QueueBytes += c.sock.Queued()
		}
	}
	h.Streams(func(st protocol.Stream) {
		s.Streams++
		if st.Kind == protocol.Group {
			s.Groups++
		}
	})
	for _, sh := range h.shards {
		sh.in.Lock()
		s.Arrivals += sh.in.bytes
		sh.in.Unlock()
	}
	s.CatchingUp = h.catch.waiting()
	return s
}
