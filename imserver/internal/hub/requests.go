package hub

import (
	"encoding/json"
	"time"

	"github.com/imtier/imtier/imserver/internal/socket"
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
	open    map[string]time.Time // by id: when to give up
	replies map[string][]byte    // by id: answers for which there was no room, or no socket, yet
}

func (c *Conn) onRequest(f *protocol.ClientFrame) {
	id, data, err := f.Request()
	if err != nil {
		c.end(protocol.ReasonMisuse)
		return
	}
	if len(data) > c.hub.opts.Input.MaxMessage { // the frame may have been larger, see Conn.largest
		c.end(protocol.ReasonTooBig)
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
// the session are the client's to know. A client that has no room gets it when it has read; one for which too many wait has to
// resume its session, and gets them then.
func (c *Conn) Reply(id string, frame []byte) {
	switch c.keepReply(id, frame) {
	case kept:
		c.sendReplies()
	case tooManyKept:
		c.End(protocol.ReasonStateLost)
	}
}

// Refuse answers a request with an error, if the client still waits.
func (c *Conn) Refuse(id, code string) {
	c.mu.Lock()
	open := c.closeRequest(id)
	c.mu.Unlock()
	if open {
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

// closeRequest notes that a request is answered, and reports whether it was open. The caller holds mu.
func (c *Conn) closeRequest(id string) (open bool) {
	if c.requests != nil {
		_, open = c.requests.open[id]
		delete(c.requests.open, id)
	}
	return open
}

type replyState uint8

const (
	notAsked replyState = iota // or it is too late
	kept
	tooManyKept
)

// keepReply keeps an answer that the client is to get.
func (c *Conn) keepReply(id string, frame []byte) replyState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closeRequest(id) && (c.Origin == c.ID || c.gone || c.ready.Load() && !c.V1) {
		return notAsked
	}
	if c.requests == nil {
		c.requests = &requests{}
	}
	if c.requests.replies == nil {
		c.requests.replies = make(map[string][]byte)
	}
	if len(c.requests.replies) >= protocol.MaxRequests {
		if !c.ready.Load() {
			return notAsked // the latest come first, and most have been given before
		}
		return tooManyKept
	}
	c.requests.replies[id] = frame
	return kept
}

// sendReplies sends the answers that wait, as far as there is a socket and room: Open and Room call again.
func (c *Conn) sendReplies() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests == nil || !c.ready.Load() || !c.V1 {
		return
	}
	for id, text := range c.requests.replies {
		if c.send(socket.Frame(socket.OpText, text)) != sent {
			return
		}
		delete(c.requests.replies, id)
		c.hub.answered("")
	}
	c.requests.replies = nil
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
