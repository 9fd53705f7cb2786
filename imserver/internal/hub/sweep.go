package hub

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/imtier/imtier/imserver/internal/clock"
	"github.com/imtier/imtier/pkg/beat"
	"github.com/imtier/imtier/pkg/protocol"
)

const (
	sweepInterval = time.Second
	// sweepSteps is in how many steps a round is made, when it needs more than fewPings. Many connections that came at the
	// same time are quiet for as long: a thousand pings, and as many answers, in one go hold up everybody's messages. Few go
	// together: each step wakes both ends, which takes as long as some pings.
	sweepSteps = 10
	fewPings   = 50
	// closeGrace is how long a peer may take to answer a close frame.
	closeGrace = 3 * time.Second
	// pingSpread is by which part of the time a ping may come earlier than it has to, by chance: so those that were heard at
	// the same time, as after a broadcast that all acknowledge, are not pinged at the same time.
	pingSpread = 4
)

// sweep looks after all time-outs of all connections, so that none needs a timer of its own.
func (h *Hub) sweep(ctx context.Context) {
	tick := time.NewTimer(beat.Until(sweepInterval))
	defer tick.Stop()
	s := sweeper{hub: h}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.round(ctx, now)
			tick.Reset(beat.Until(sweepInterval))
		}
	}
}

// sweeper is what the sweep keeps between its rounds.
type sweeper struct {
	hub   *Hub
	due   []*Conn // empty but for its memory
	pings int     // since it last rested
}

// round looks at the connections that are due.
func (s *sweeper) round(ctx context.Context, now time.Time) {
	s.due = s.hub.roster.take(s.due, now)
	for part := range slices.Chunk(s.due, len(s.due)/sweepSteps+1) {
		for _, c := range part {
			s.hub.roster.put(c, s.check(c, now))
		}
		if s.pings >= fewPings && ctx.Err() == nil {
			now = s.rest(ctx)
		}
	}
	clear(s.due) // they may be gone
	s.due = s.due[:0]
	s.hub.unsent.look(s.hub)
}

// rest lets messages through, and returns the time after it. With a rest in each step the round is over before the next.
func (s *sweeper) rest(ctx context.Context) time.Time {
	s.pings = 0
	select {
	case <-ctx.Done():
	case <-time.After(sweepInterval / (sweepSteps + 1)):
	}
	return time.Now()
}

// pingAfter is how long a connection may be quiet. By the round after the next it would be longer than the interval.
func (h *Hub) pingAfter() time.Duration {
	return max(h.opts.PingInterval-2*sweepInterval, h.opts.PingInterval/2)
}

// pingFrom is how long a connection has been quiet at least when it is pinged.
func (h *Hub) pingFrom() time.Duration {
	after := h.pingAfter()
	return after - after/pingSpread
}

// pingDue decides when to look whether a connection is pinged that was heard last at heard and has been quiet for less than pingAfter.
func (h *Hub) pingDue(heard time.Time, quiet time.Duration) moment {
	from := max(quiet, h.pingFrom())
	return momentOf(heard.Add(from + rand.N(h.pingAfter()-from)))
}

// check ends a connection that has been silent, has not started or does not close, and pings one that is quiet. It returns
// when to look again: in the next round while something is awaited of the connection or of its peer.
func (s *sweeper) check(c *Conn, now time.Time) moment {
	c.mu.Lock()
	gone, waiting := c.gone, c.V1 && !c.asked
	late, asks := c.lateRequests(now)
	var opened time.Time
	if waiting {
		opened = clock.Time(c.opened)
	}
	c.mu.Unlock()
	if gone {
		return never
	}
	if !c.ready.Load() {
		return nextRound
	}
	if d := c.sock.EndedFor(now); d > 0 {
		if d > closeGrace {
			c.sock.Kill()
		}
		return nextRound
	}
	for _, id := range late {
		c.Refuse(id, protocol.RefusedTimeout)
	}
	if waiting && now.Sub(opened) > s.hub.opts.StartTimeout {
		c.end(protocol.ReasonStateLost) // a page that stood still is not to stay away
		return nextRound
	}
	heard, pinged := c.sock.Heard(), clock.Time(c.pinged.Load())
	quiet := now.Sub(heard)
	switch {
	case pinged.After(heard):
		if now.Sub(pinged) > s.hub.opts.PongTimeout {
			c.end(protocol.ReasonNoPong)
			c.sock.Kill() // whoever does not answer pings does not answer a close frame: it is offline all the sooner
		}
		return nextRound
	case quiet >= s.hub.pingAfter(), quiet >= s.hub.pingFrom() && !s.hub.busy(): // as long as there is time messages go first
		c.pinged.Store(clock.Millis(now))
		c.sock.Ping()
		s.pings++
		return nextRound
	case waiting || asks:
		return nextRound
	}
	return s.hub.pingDue(heard, quiet)
}
