package hub

import (
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/imserver/internal/clock"
	"github.com/imtier/imtier/imserver/internal/socket"
	"github.com/imtier/imtier/pkg/protocol"
)

// Conn is one connection of a client. It exists before its socket does, so that nothing is missed between the
// registration in Redis and the first frame.
type Conn struct {
	// What a delivery reads comes first, what the sweep reads next: each within a cache line. With many nodes on a machine
	// none of it is in any cache when a broadcast comes by.
	sock    *socket.Socket // fixed after Open; read by others only after ready
	hub     *Hub           // fixed after Register, as Info is
	leaving leavings
	ready   atomic.Bool
	V1      bool        // speaks imtier.v1; fixed after Open
	awaited atomic.Bool // was given a message that somebody wants a receipt for
	final   atomic.Bool // told to stay away

	pinged   atomic.Int64 // when it was pinged last; see clock
	requests *requests    // nil until the first one; guarded by mu
	mu       sync.Mutex
	asked    bool  // start has arrived
	started  bool  // takes messages
	gone     bool  // detached from everything; nothing may be attached any more
	place    int32 // in the roster, from 1 on; 0: not there. Guarded by its mu

	Info

	follows  []*follow    // guarded by mu
	input    meter        // the reader's alone
	catching atomic.Int32 // what the catch-up does with it, see catcher.conn
	spared   int32        // by how much a batch from the log is smaller than usual; the catcher's alone
	listed   int32        // bytes that a frame needs to name all follows; guarded by mu
}

// Info is what is registered about a connection.
type Info struct {
	Since    int64 // Unix milliseconds when it was opened
	ClientID string
	ID       string
	Device   string
	IP       string
	Meta     json.RawMessage
	Origin   string // the first connection of the session that this one resumes, itself if none; requests go by it

	JTI        string // of the connect URL that it goes back to
	Policy     string // device policy of its URL; empty means the node's
	MayRequest bool   // the client may send requests; also for the token of its successor

	*Admission
}

// Admission is what a connection needs until it has started; then it is dropped.
type Admission struct {
	Cursors map[string]protocol.Position // where this device acknowledged last
	Acked   protocol.Position            // how far any device of the client acknowledged its inbox
	Joined  map[string]protocol.Position // where memberships of groups begin, by the stream's name
	Unsure  bool                         // it is given up, and nobody knows whether it is registered

	// Guarded by the connection's mu.
	opened int64                                 // when it got its socket; see clock
	placed bool                                  // it follows the groups that it was in when it was registered
	want   map[protocol.Stream]protocol.Position // of the start that is being worked on
	early  protocol.Reason                       // why it has to end as soon as it has its socket
	by     string                                // more about it
	left   map[protocol.Stream]bool              // what admits the connection may have read memberships earlier
}

// Open gives the connection its socket, answers the handshake and starts reading. A raw connection takes messages from the
// answer on, one that speaks imtier.v1 after its start.
func (c *Conn) Open(s *socket.Socket, answer []byte) {
	c.mu.Lock()
	c.sock = s
	c.V1 = s.Subprotocol()
	c.opened = clock.Millis(time.Now())
	c.left = nil
	c.list(nil, 0)
	early, by := c.early, c.by
	if c.V1 || early != protocol.ReasonNone {
		s.Answer(answer)
	} else {
		c.hub.goLive(c, func() { s.Answer(answer) })
		c.Admission = nil
	}
	c.ready.Store(true) // from now on others may end it: the answer is out
	c.mu.Unlock()
	if c.hub.late() && early == protocol.ReasonNone {
		early = protocol.ReasonDraining
	}
	c.sendReplies()
	s.Serve()
	if early != protocol.ReasonNone {
		c.endBy(early, by)
	}
}

// End ends the connection; the first reason counts. It never blocks.
func (c *Conn) End(r protocol.Reason) { c.EndBy(r, "") }

// EndBy ends the connection and tells the peer who is the cause.
func (c *Conn) EndBy(r protocol.Reason, by string) {
	c.mu.Lock()
	if !c.ready.Load() {
		if c.early == protocol.ReasonNone {
			c.early, c.by = r, by
		}
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.endBy(r, by)
}

// end ends a connection that has its socket.
func (c *Conn) end(r protocol.Reason) { c.endBy(r, "") }

// endBy ends a connection that has its socket. Who is told to stay away loses the session at once and not when the socket
// is gone: it may keep that open for a while, and would come back by its session.
func (c *Conn) endBy(r protocol.Reason, by string) {
	if r.Code() >= protocol.FirstFinalCode && c.final.CompareAndSwap(false, true) {
		c.hub.opts.Final(c)
	}
	c.sock.EndWith(r, by)
	c.hub.roster.call(c)
}

// Placed notes that the connection follows the groups that it was in when it was registered. From now on it has to be compared
// with Redis like others when joins or leaves may have been missed.
func (c *Conn) Placed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.placed = true
}

// IsPlaced reports whether Placed was called.
func (c *Conn) IsPlaced() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Admission == nil || c.placed
}

// Ready reports whether the connection has its socket.
func (c *Conn) Ready() bool { return c.ready.Load() }

// Send sends the text of one imtier.v1 frame, if there is room.
func (c *Conn) Send(text []byte) { c.send(socket.Frame(socket.OpText, text)) }

// tell sends the text of one frame to a client that speaks imtier.v1 and has started. The caller holds mu.
func (c *Conn) tell(text []byte) {
	if c.V1 && c.started {
		c.must(text)
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
		c.end(protocol.ReasonTooSlow)
	}
	return over
}

// sendGap tells a client of a loss; it must not be given what comes after unless this was sent. A raw client has no
// frame for it.
func (c *Conn) sendGap(stream string, from, to protocol.Position) sendResult {
	if !c.V1 {
		return sent
	}
	r := c.send(socket.Frame(socket.OpText, protocol.GapFrame(stream, from, to)))
	if r == sent {
		c.hub.counters.Gaps.Add(1)
		c.missed(stream, from, to)
	}
	return r
}

// must sends the text of one frame that the client's idea of its streams depends on. A peer that has no room for it
// has to begin anew.
func (c *Conn) must(text []byte) {
	if c.send(socket.Frame(socket.OpText, text)) == full {
		c.end(protocol.ReasonStateLost)
	}
}

// Room implements socket.Handler: a slow peer has read everything.
func (c *Conn) Room() {
	c.sendReplies()
	c.hub.catch.conn(c)
}

// Frame implements socket.Handler: it limits what a peer may send.
func (c *Conn) Frame(bytes int) {
	in := c.hub.opts.Input
	c.mu.Lock()
	in.MaxMessage = c.largest()
	c.mu.Unlock()
	if over := c.input.take(in, bytes, c.sock.Heard()); over != WithinLimits && c.sock.EndedFor(c.sock.Heard()) == 0 {
		c.hub.opts.Limited(over)
		c.end(protocol.ReasonTooMuchInput)
	}
}

// Closing implements socket.Handler.
func (c *Conn) Closing() { c.hub.roster.call(c) }

// Closed implements socket.Handler.
func (c *Conn) Closed(r protocol.Reason) { c.hub.remove(c, r) }

// Message implements socket.Handler. What a raw peer sends is ignored.
func (c *Conn) Message(text bool, data []byte) {
	if !c.V1 {
		return
	}
	if !text {
		c.end(protocol.ReasonMisuse)
		return
	}
	f, err := protocol.DecodeClientFrame(data)
	if err != nil {
		c.end(protocol.ReasonMisuse)
		return
	}
	switch f.Type {
	case protocol.FramePing:
		c.Send(protocol.PongFrame())
	case protocol.FrameStart:
		c.onStart(f)
	case protocol.FrameAck:
		c.onAck(f)
	case protocol.FrameRead:
		c.onRead(f)
	case protocol.FrameRequest:
		c.onRequest(f)
	}
}

func (c *Conn) onStart(f *protocol.ClientFrame) {
	pos, err := f.Positions(c.ClientID)
	if err != nil || !c.hub.start(c, pos) {
		c.end(protocol.ReasonMisuse)
	}
}

func (c *Conn) onAck(f *protocol.ClientFrame) {
	pos, err := f.Positions(c.ClientID)
	if err != nil {
		c.end(protocol.ReasonMisuse)
		return
	}
	c.mu.Lock()
	own := make(map[protocol.Stream]protocol.Position, len(pos))
	for _, f := range c.follows { // others are not the client's to write down
		if p, ok := pos[f.t.stream]; ok {
			own[f.t.stream] = p
		}
	}
	c.mu.Unlock()
	if len(own) > 0 {
		c.hub.opts.Acked(c, own)
	}
}

// Abandon removes a connection whose upgrade failed.
func (c *Conn) Abandon() { c.hub.remove(c, protocol.ReasonPeerGone) }
