package hub

import (
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/imserver/internal/socket"
	"github.com/imtier/imtier/pkg/protocol"
)

// Conn is one connection of a client. It exists before its socket does, so that nothing is missed between the
// registration in Redis and the first frame.
type Conn struct {
	// Fixed after Hub.Register.
	Info
	V1  bool // speaks imtier.v1
	hub *Hub

	// Fixed after Open; read by others only after ready.
	sock  *socket.Socket
	ready atomic.Bool

	input    meter        // the reader's alone
	pinged   atomic.Int64 // Unix milliseconds of the last ping
	catching atomic.Int32 // what the catch-up does with it, see catcher.conn

	mu      sync.Mutex
	follows []*follow
	want    map[protocol.Stream]protocol.Position // of the start that is being worked on
	asked   bool                                  // start has arrived
	started bool                                  // takes messages
	gone    bool                                  // detached from everything; nothing may be attached any more
	early   protocol.Reason
}

// Info is what is registered about a connection.
type Info struct {
	ClientID string
	ID       string
	Device   string
	IP       string
	Since    time.Time
	Meta     json.RawMessage
	Cursors  map[string]protocol.Position // where this device acknowledged last; until started
	Acked    protocol.Position            // how far any device of the client acknowledged its inbox
}

// Open gives the connection its socket and starts reading. A raw connection takes messages from now on, one that
// speaks imtier.v1 after its start.
func (c *Conn) Open(s *socket.Socket, hello []byte) {
	c.mu.Lock()
	c.sock = s
	c.V1 = s.Subprotocol()
	c.ready.Store(true)
	early := c.early
	c.mu.Unlock()

	if c.V1 {
		c.Send(hello)
	}
	s.Serve(c)
	if early != protocol.ReasonNone {
		s.End(early)
		return
	}
	if !c.V1 {
		c.hub.release(c)
	}
}

// End ends the connection; the first reason counts. It never blocks.
func (c *Conn) End(r protocol.Reason) {
	c.mu.Lock()
	if !c.ready.Load() {
		if c.early == protocol.ReasonNone {
			c.early = r
		}
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.sock.End(r)
}

// Send sends the text of one imtier.v1 frame, if there is room.
func (c *Conn) Send(text []byte) { c.send(socket.Frame(socket.OpText, text)) }

// Tell sends the text of one frame to a client that speaks imtier.v1 and has started.
func (c *Conn) Tell(text []byte) {
	c.mu.Lock()
	tell := c.V1 && c.started
	c.mu.Unlock()
	if tell {
		c.Send(text)
	}
}

type sendResult uint8

const (
	sent sendResult = iota
	full
	over
)

// send writes a frame. A raw connection that does not read has no way to catch up and is ended.
func (c *Conn) send(frame []byte) sendResult {
	err := c.sock.Send(frame)
	switch {
	case err == nil:
		return sent
	case errors.Is(err, socket.ErrFull) && c.V1:
		return full
	case errors.Is(err, socket.ErrFull):
		c.sock.End(protocol.ReasonTooSlow)
	}
	return over
}

func (c *Conn) sendGap(stream string, from, to protocol.Position) {
	c.hub.counters.Gaps.Add(1)
	c.Send(protocol.GapFrame(stream, from, to))
}

// Room implements socket.Handler: a slow peer has read everything.
func (c *Conn) Room() { c.hub.catch.conn(c) }

// Frame implements socket.Handler: it limits what a peer may send.
func (c *Conn) Frame(bytes int) {
	if !c.input.take(bytes, c.sock.Heard()) {
		c.sock.End(protocol.ReasonTooMuchInput)
	}
}

// Closed implements socket.Handler.
func (c *Conn) Closed(r protocol.Reason) { c.hub.remove(c, r) }

// Message implements socket.Handler. What a raw peer sends is ignored.
func (c *Conn) Message(text bool, data []byte) {
	if !c.V1 {
		return
	}
	if !text {
		c.sock.End(protocol.ReasonMisuse)
		return
	}
	f, err := protocol.DecodeClientFrame(data)
	if err != nil {
		c.sock.End(protocol.ReasonMisuse)
		return
	}
	switch f.Type {
	case protocol.FramePing:
		c.Send(protocol.PongFrame())
	case protocol.FrameStart:
		c.onStart(f)
	case protocol.FrameAck:
		c.onAck(f)
	}
}

func (c *Conn) onStart(f *protocol.ClientFrame) {
	pos, err := f.Positions(c.ClientID)
	if err != nil || !c.hub.start(c, pos) {
		c.sock.End(protocol.ReasonMisuse)
	}
}

func (c *Conn) onAck(f *protocol.ClientFrame) {
	pos, err := f.Positions(c.ClientID)
	if err != nil {
		c.sock.End(protocol.ReasonMisuse)
		return
	}
	c.hub.opts.Acked(c, pos)
}

// Abandon removes a connection whose upgrade failed.
func (c *Conn) Abandon() { c.hub.remove(c, protocol.ReasonPeerGone) }
