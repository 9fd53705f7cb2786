package hub

import (
	"encoding/json"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// Requests is what the hub does with requests of clients: it passes them on, tells what became of each, and gives
// clients their answers. It looks into none of them. The calls must not block.
type Requests struct {
	// Ask passes a request on; Conn.Reply or Conn.Refuse has to follow. It reports false when there is no room.
	Ask func(c *Conn, id string, data json.RawMessage) bool
	// Answered counts an answer by the code of its error, which is one of package protocol's, or empty.
	Answered func(code string)
}

// requests of one connection. Guarded by the connection's mu.
type requests struct {
	open  map[string]time.Time // by id: when to give up
	early map[string][]byte    // answers to an earlier connection of the session, until this one has its socket
}

func (c *Conn) onRequest(f *protocol.ClientFrame) {
	id, data, err := f.Request()
	if err != nil {
		c.end(protocol.ReasonMisuse)
		return
	}
	if !c.MayRequest || c.hub.opts.Requests.Ask == nil {
		c.answer(id, protocol.RefusedNotAllowed)
		return
	}
	c.mu.Lock()
	if c.requests == nil {
		c.requests = &requests{}
	}
	r := c.requests
	_, again := r.open[id]
	full := len(r.open) >= protocol.MaxRequests
	if !again && !full {
		if r.open == nil {
			r.open = make(map[string]time.Time)
		}
		r.open[id] = time.Now().Add(protocol.RequestTimeout)
	}
	c.mu.Unlock()
	c.hub.roster.call(c)
	switch {
	case again: // its answer is on the way
	case full:
		c.answer(id, protocol.RefusedTooMany)
	case !c.hub.opts.Requests.Ask(c, id, data):
		c.Refuse(id, protocol.RefusedBusy)
	}
}

// Reply gives a client the frame that answers a request, if it still waits for it. Requests of an earlier connection of
// the session are the client's to know. A client that has no room for it has to resume its session, and gets it then.
func (c *Conn) Reply(id string, frame []byte) {
	if c.closeRequest(id, frame) {
		c.hub.answered("")
		c.must(frame)
	}
}

// Refuse answers a request with an error, if the client still waits.
func (c *Conn) Refuse(id, code string) {
	if c.closeRequest(id, nil) {
		c.answer(id, code)
	}
}

func (c *Conn) answer(id, code string) {
	c.hub.answered(code)
	c.Send(protocol.RefusalFrame(id, protocol.Refuse(code)))
}

func (h *Hub) answered(code string) {
	if count := h.opts.Requests.Answered; count != nil {
		count(code)
	}
}

// closeRequest notes that a request is answered, and reports whether to tell the client now. A frame that comes before
// the socket is kept.
func (c *Conn) closeRequest(id string, frame []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests != nil {
		if _, ok := c.requests.open[id]; ok {
			delete(c.requests.open, id)
			return true
		}
	}
	switch {
	case c.Origin == c.ID || frame == nil || c.gone:
		return false // too late
	case c.ready.Load():
		return c.V1
	}
	if c.requests == nil {
		c.requests = &requests{}
	}
	if c.requests.early == nil {
		c.requests.early = make(map[string][]byte)
	}
	if len(c.requests.early) < protocol.MaxRequests {
		c.requests.early[id] = frame
	}
	return false
}

// sendEarly sends the answers that came before the socket.
func (c *Conn) sendEarly() {
	c.mu.Lock()
	var early map[string][]byte
	if c.requests != nil {
		early, c.requests.early = c.requests.early, nil
	}
	c.mu.Unlock()
	for _, frame := range early {
		c.hub.answered("")
		c.must(frame)
	}
}

// lateRequests returns the requests that have waited for too long, and whether any waits. The caller holds mu.
func (c *Conn) lateRequests(now time.Time) (late []string, asks bool) {
	if c.requests == nil {
		return nil, false
	}
	for id, until := range c.requests.open {
		if now.After(until) {
			late = append(late, id)
		}
	}
	return late, len(c.requests.open) > 0
}
