package hub

import (
	"sync"

	"github.com/imtier/imtier/pkg/protocol"
)

// Receipts is told what the hub knows about messages that somebody wants receipts for, besides acknowledgements. The
// calls must not block.
type Receipts struct {
	Given  func(c *Conn, pos protocol.Position)      // the kernel has all bytes of an inbox message to a raw connection
	Read   func(c *Conn, ids []string)               // the client has read messages
	Missed func(c *Conn, from, to protocol.Position) // the client was told of a gap in its inbox
}

// Awaited reports whether the connection was given a message that somebody wants a receipt for: then what it
// acknowledges is worth passing on soon.
func (c *Conn) Awaited() bool { return c.awaited.Load() }

// takes notes that a message is about to be handed to the socket: its acknowledgement may be here before took is called.
func (c *Conn) takes(m *Message) {
	if m.Receipt != protocol.ReceiptNone && c.V1 {
		c.awaited.Store(true)
	}
}

// took notes that a message was handed to the socket. It runs under a shard's mu.
func (c *Conn) took(pos protocol.Position, m *Message) {
	switch {
	case m.Receipt == protocol.ReceiptNone || pos.IsZero(): // nearly always
	case c.V1: // it acknowledges by itself
	case c.hub.opts.Receipts.Given == nil:
	case c.sock.Sent():
		c.hub.opts.Receipts.Given(c, pos)
	default:
		c.hub.unsent.add(c, pos)
	}
}

// missed notes that the client was told of a gap.
func (c *Conn) missed(stream string, from, to protocol.Position) {
	if f := c.hub.opts.Receipts.Missed; f != nil && stream == inboxWire {
		f(c, from, to)
	}
}

var inboxWire = protocol.InboxOf("").String()

func (c *Conn) onRead(f *protocol.ClientFrame) {
	ids, err := f.ReadIDs()
	if err != nil {
		c.end(protocol.ReasonMisuse)
		return
	}
	if read := c.hub.opts.Receipts.Read; read != nil && len(ids) > 0 {
		read(c, ids)
	}
}

// unsent holds what raw connections have been given but their kernels have not taken yet: few ever, for such a peer
// reads too slowly and is about to be ended. A connection's outbox bounds what is in here for it.
type unsent struct {
	mu sync.Mutex
	of map[*Conn][]protocol.Position
}

func (u *unsent) add(c *Conn, pos protocol.Position) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = make(map[*Conn][]protocol.Position)
	}
	u.of[c] = append(u.of[c], pos)
}

// look reports what has been sent since, and forgets connections that ended. It looks at connections without its lock, which
// is taken under a shard's, as that is under a connection's.
func (u *unsent) look(h *Hub) {
	u.mu.Lock()
	all := u.of
	u.of = nil
	u.mu.Unlock()
	for c, waiting := range all {
		switch {
		case c.isGone():
		case c.sock.Sent():
			for _, pos := range waiting {
				h.opts.Receipts.Given(c, pos)
			}
		default:
			u.again(c, waiting)
		}
	}
}

// again puts back what waits still, before what has come meanwhile.
func (u *unsent) again(c *Conn, waiting []protocol.Position) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = make(map[*Conn][]protocol.Position)
	}
	u.of[c] = append(waiting, u.of[c]...)
}

// isGone reports whether the connection is over.
func (c *Conn) isGone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}
