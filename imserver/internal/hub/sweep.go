package hub

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/imtier/imtier/imserver/internal/clock"
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
	// A quiet connection is looked at every so many rounds: with a million of them, to look at each in each round takes
	// a quarter of a machine with two cores, and every tenth round still a fortieth. It is pinged before its interval is over,
	// by up to as many rounds, so there are few rounds where the interval is short.
	maxSweepRounds  = 30
	sweepRoundsPart = 8 // of the ping interval
	// pingSpread is by which part of the time a ping may come earlier than it has to, by chance: so those that were heard at
	// the same time, as after a broadcast that all acknowledge, are not pinged at the same time.
	pingSpread = 4
)

// sweep looks after all time-outs of all connections, so that none needs a timer of its own.
func (h *Hub) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	s := sweeper{hub: h}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.round(ctx, now)
		}
	}
}

// sweeper is what the sweep keeps between its rounds.
type sweeper struct {
	hub    *Hub
	closer []*Conn // those of which something is awaited
	others turns
	pings  int // since it last rested
}

// round looks at those of which something is awaited, and at the others whose turn it is.
func (s *sweeper) round(ctx context.Context, now time.Time) {
	s.closer = s.checkAll(s.hub.attention.take(s.closer), now)
	conns := s.others.take(s.hub.appendConns, s.hub.sweepRounds())
	for part := range slices.Chunk(conns, len(conns)/sweepSteps+1) {
		for _, c := range part {
			if !c.closer && !s.hub.calm(c, now) && s.check(c, now) {
				c.closer, s.closer = true, append(s.closer, c)
			}
		}
		if s.pings >= fewPings && ctx.Err() == nil {
			now = s.rest(ctx)
		}
	}
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

// turns says whose turn it is.
type turns struct {
	conns []*Conn // all, as they were when the turns began; kept between rounds: as large as the node is
	next  int
}

// take returns the next ones of all; each has its turn once in so many rounds. What it returned is forgotten the next time.
func (t *turns) take(appendAll func([]*Conn) []*Conn, rounds int) []*Conn {
	clear(t.conns[:t.next]) // they may be gone
	if t.next == len(t.conns) {
		t.conns, t.next = appendAll(t.conns[:0]), 0
	}
	first := t.next
	t.next = min(len(t.conns), first+(len(t.conns)+rounds-1)/rounds)
	return t.conns[first:t.next]
}

// checkAll looks at connections and returns those that have to be looked at in the next round too.
func (s *sweeper) checkAll(conns []*Conn, now time.Time) []*Conn {
	rest := conns[:0]
	for _, c := range conns {
		if c.closer = s.check(c, now); c.closer {
			rest = append(rest, c)
		}
	}
	clear(conns[len(rest):])
	return rest
}

func (h *Hub) appendConns(to []*Conn) []*Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		to = append(to, c)
	}
	return to
}

// sweepRounds is in how many rounds every connection has its turn.
func (h *Hub) sweepRounds() int {
	return int(min(max(1, h.opts.PingInterval/sweepRoundsPart/sweepInterval), maxSweepRounds))
}

// pingAfter is how long a connection may be quiet. At its next turn it would be longer than the interval.
func (h *Hub) pingAfter() time.Duration {
	return max(h.opts.PingInterval-time.Duration(h.sweepRounds())*sweepInterval, h.opts.PingInterval/2)
}

// pingFrom is how long a connection has been quiet at least when it is pinged.
func (h *Hub) pingFrom() time.Duration {
	after := h.pingAfter()
	return after - after/pingSpread
}

// pingDue decides whether a connection that has been quiet for so long is pinged.
func (h *Hub) pingDue(quiet time.Duration) bool {
	from := h.pingFrom()
	return quiet > from+rand.N(h.pingAfter()-from)
}

// calm reports that no ping can be due. It does not look at the socket for it, which is in no cache.
func (h *Hub) calm(c *Conn, now time.Time) bool {
	return int64(c.calm) > clock.Millis(now)/1000
}

// check ends a connection that has been silent, has not started or does not close, and pings one that is quiet. It
// reports whether something is awaited of the connection or of its peer.
func (s *sweeper) check(c *Conn, now time.Time) (awaited bool) {
	c.mu.Lock()
	gone, waiting := c.gone, c.V1 && !c.asked
	late, asks := c.lateRequests(now)
	var opened time.Time
	if waiting {
		opened = clock.Time(c.opened)
	}
	c.mu.Unlock()
	if gone || !c.ready.Load() {
		return !gone
	}
	if d := c.sock.EndedFor(now); d > 0 {
		if d > closeGrace {
			c.sock.Kill()
		}
		return true
	}
	for _, id := range late {
		c.Refuse(id, protocol.RefusedTimeout)
	}
	if waiting && now.Sub(opened) > s.hub.opts.StartTimeout {
		c.end(protocol.ReasonMisuse)
		return true
	}
	heard, pinged := c.sock.Heard(), clock.Time(c.pinged.Load())
	switch {
	case pinged.After(heard):
		if now.Sub(pinged) > s.hub.opts.PongTimeout {
			c.end(protocol.ReasonNoPong)
			c.sock.Kill() // whoever does not answer pings does not answer a close frame: it is offline all the sooner
		}
		return true
	case s.hub.pingDue(now.Sub(heard)):
		c.pinged.Store(clock.Millis(now))
		c.sock.Ping()
		s.pings++
		return true
	}
	c.calm = uint32(clock.Millis(heard.Add(s.hub.pingFrom())) / 1000)
	return waiting || asks
}

// attention is a list of connections that the sweep has to look at in every round, for as long as something is awaited.
type attention struct {
	mu    sync.Mutex
	conns []*Conn
}

// call puts a connection on the list. It never blocks.
func (a *attention) call(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = append(a.conns, c)
}

// take appends to to what has been called since the last time and is not there yet.
func (a *attention) take(to []*Conn) []*Conn {
	a.mu.Lock()
	conns := a.conns
	a.conns = nil
	a.mu.Unlock()
	for _, c := range conns {
		if !c.closer {
			c.closer, to = true, append(to, c)
		}
	}
	return to
}
