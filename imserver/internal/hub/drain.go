package hub

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/imtier/imtier/imserver/internal/socket"
	"github.com/imtier/imtier/pkg/protocol"
)

// Handover says how a node lets go of its connections.
type Handover struct {
	// Spread is the time over which connections are told, one after the other, so that the clients do not arrive
	// elsewhere all at once.
	Spread time.Duration
	// Within is what a client that was told where to go may take before its connection is closed.
	Within time.Duration
	// Offer returns the frame that tells a client where to go, or nil when there is no such place. It is called
	// from one goroutine, for clients that speak imtier.v1 and have started.
	Offer func(c *Conn, within time.Duration) []byte
}

// Drain lets go of every connection: in its turn it is told where to go or, when that cannot be, closed with 4000. Who
// was told and has not gone in time is closed with 4000, too. Drain waits until all are gone. When ctx ends first the
// rest is cut.
func (h *Hub) Drain(ctx context.Context, o Handover) {
	h.mu.Lock()
	h.drained = true
	h.mu.Unlock()
	d := drain{h: h, o: o, begin: time.Now(), conns: h.Conns(), pause: time.NewTimer(0)}
	defer d.pause.Stop()
	d.run(ctx)

	h.mu.Lock()
	h.checkEmpty()
	h.mu.Unlock()
	select {
	case <-h.empty:
		return
	case <-ctx.Done():
	}
	for _, c := range h.Conns() {
		if c.ready.Load() {
			c.sock.Kill()
		}
	}
	<-h.empty
}

// drain is one run of Drain.
type drain struct {
	h     *Hub
	o     Handover
	begin time.Time
	conns []*Conn // in the order of their turns
	pause *time.Timer
	told  []deadline // who has been told and is not closed yet, in order
}

// deadline is when a connection that was told where to go is closed.
type deadline struct {
	c  *Conn
	at time.Time
}

func (d *drain) run(ctx context.Context) {
	for i, c := range d.conns {
		due := d.due(i)
		for len(d.told) > 0 && d.told[0].at.Before(due) {
			d.closeFirst(ctx)
		}
		if c.Over() {
			continue
		}
		d.wait(ctx, due)
		if d.o.Within > 0 && ctx.Err() == nil && c.offer(d.o) {
			d.told = append(d.told, deadline{c, time.Now().Add(d.o.Within)})
			continue
		}
		c.End(protocol.ReasonDraining)
	}
	for len(d.told) > 0 {
		d.closeFirst(ctx)
	}
}

// due is when it is a connection's turn: somewhere in its share of the time.
func (d *drain) due(i int) time.Time {
	share := (float64(i) + rand.Float64()) / float64(len(d.conns))
	return d.begin.Add(time.Duration(share * float64(d.o.Spread)))
}

// closeFirst closes the one that was told first, when its time is over, unless it has gone.
func (d *drain) closeFirst(ctx context.Context) {
	first := d.told[0]
	d.told = d.told[1:]
	if !first.c.Over() {
		d.wait(ctx, first.at)
		first.c.End(protocol.ReasonDraining)
	}
}

// wait returns at a time, or before when everybody has gone or the drain has no more time.
func (d *drain) wait(ctx context.Context, until time.Time) {
	left := time.Until(until)
	if left <= time.Millisecond {
		return
	}
	d.h.mu.Lock()
	d.h.checkEmpty()
	d.h.mu.Unlock()
	d.pause.Reset(left)
	select {
	case <-d.pause.C:
	case <-d.h.empty:
	case <-ctx.Done():
	}
}

// offer tells a connection where to go and reports whether it could.
func (c *Conn) offer(o Handover) bool {
	if !c.ready.Load() || !c.V1 || o.Offer == nil {
		return false
	}
	c.mu.Lock()
	started := c.started
	c.mu.Unlock()
	if !started {
		return false
	}
	frame := o.Offer(c, o.Within)
	return frame != nil && c.send(socket.Frame(socket.OpText, frame)) == sent
}

// Over reports whether a connection has ended, though its socket may still be closing.
func (c *Conn) Over() bool {
	return c.isGone() || c.ready.Load() && c.sock.EndedFor(time.Now()) > 0
}

// checkEmpty tells Drain that the last connection is gone. The caller holds mu.
func (h *Hub) checkEmpty() {
	if h.drained && h.roster.len() == 0 && h.ending == 0 {
		select {
		case <-h.empty:
		default:
			close(h.empty)
		}
	}
}
