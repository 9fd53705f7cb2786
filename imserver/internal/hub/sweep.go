package hub

import (
	"context"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

const (
	sweepInterval = time.Second
	// closeGrace is how long a peer may take to answer a close frame.
	closeGrace = 3 * time.Second
)

// sweep looks after all time-outs of all connections, so that none needs a timer of its own.
func (h *Hub) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	var conns []*Conn // kept between rounds: as large as the node is
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			conns = h.appendConns(conns[:0])
			for i, c := range conns {
				h.check(c, now)
				conns[i] = nil
			}
			h.unsent.look(h)
		}
	}
}

func (h *Hub) appendConns(to []*Conn) []*Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		to = append(to, c)
	}
	return to
}

// pingAfter is how long a connection may be quiet. With the next round it would be longer than the interval.
func (h *Hub) pingAfter() time.Duration {
	return max(h.opts.PingInterval-sweepInterval, h.opts.PingInterval/2)
}

// check ends a connection that has been silent, has not started or does not close, and pings one that is quiet.
func (h *Hub) check(c *Conn, now time.Time) {
	if !c.ready.Load() {
		return
	}
	if d := c.sock.EndedFor(now); d > 0 {
		if d > closeGrace {
			c.sock.Kill()
		}
		return
	}
	c.mu.Lock()
	waiting := c.V1 && !c.asked
	late := c.lateRequests(now)
	c.mu.Unlock()
	for _, id := range late {
		c.Refuse(id, protocol.RefusedTimeout)
	}
	if waiting && now.Sub(time.UnixMilli(c.Since)) > h.opts.StartTimeout {
		c.end(protocol.ReasonMisuse)
		return
	}
	heard, pinged := c.sock.Heard(), time.UnixMilli(c.pinged.Load())
	switch {
	case pinged.After(heard):
		if now.Sub(pinged) > h.opts.PongTimeout {
			c.end(protocol.ReasonNoPong)
			c.sock.Kill() // whoever does not answer pings does not answer a close frame: it is offline all the sooner
		}
	case now.Sub(heard) > h.pingAfter():
		c.pinged.Store(now.UnixMilli())
		c.sock.Ping()
	}
}
