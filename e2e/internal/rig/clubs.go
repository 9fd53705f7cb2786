package rig

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/ledger"
)

const (
	clubCount   = 3
	changeEvery = 150 * time.Millisecond
	changeDice  = 2000
)

// clubs are groups that clients join and leave during a run. After each change a message goes to the club: who has just
// joined has to get it, who has just left must not.
type clubs struct {
	l      *Load
	names  []string
	movers []*client.Client
	sender *sender
	rng    *rand.Rand

	mu     sync.Mutex // held during a change
	member map[seat]bool
	since  map[seat]time.Time // the last change was called
}

// seat is that of a client in a club.
type seat struct {
	client *client.Client
	club   string
}

func newClubs(l *Load, movers int) *clubs {
	c := &clubs{
		l: l, sender: l.sender("mover", changeDice, true), rng: rand.New(rand.NewPCG(l.options.Seed, changeDice+1)),
		member: make(map[seat]bool), since: make(map[seat]time.Time),
	}
	if movers <= 0 {
		return c
	}
	for i := range clubCount {
		c.names = append(c.names, fmt.Sprint("club-", i))
	}
	c.movers = l.Clients[:min(movers, len(l.Clients))]
	return c
}

// fill lets half of the movers into each club.
func (c *clubs) fill(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, m := range c.movers {
		for j, name := range c.names {
			if (i+j)%2 == 0 {
				c.change(ctx, seat{m, name}, true)
			}
		}
	}
}

func (c *clubs) run(ctx context.Context) {
	tick := time.NewTicker(changeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s := seat{c.movers[c.rng.IntN(len(c.movers))], c.names[c.rng.IntN(len(c.names))]}
			c.mu.Lock()
			ok := c.change(ctx, s, !c.member[s])
			c.mu.Unlock()
			if ok {
				c.sender.send(ctx, ledger.Send{Kind: ledger.Group, To: []string{s.club}})
			}
		}
	}
}

// change repeats a change until it succeeds, or ctx ends. The caller holds mu.
func (c *clubs) change(ctx context.Context, s seat, join bool) bool {
	c.member[s] = join
	for {
		a := ledger.Change{Client: s.client.ID(), Group: s.club, Join: join, Called: time.Now()}
		call := c.l.API.Leave
		if join {
			call = c.l.API.Join
		}
		a.OK = call(context.WithoutCancel(ctx), s.club, a.Client) == nil
		a.Returned = time.Now()
		c.l.Publisher.Changed(a)
		c.since[s] = a.Called
		if a.OK {
			return true
		}
		t := time.NewTimer(retryPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			c.since[s] = time.Time{} // it did not come to an end
			return false
		}
	}
}

// hold stops the changes until release, and repeats those of which Redis may know nothing: who is a member is certain then.
func (c *clubs) hold(ctx context.Context) (release func()) {
	c.mu.Lock()
	losses := c.l.Publisher.Losses()
	for s, join := range c.member {
		since := c.since[s]
		if since.IsZero() || slices.ContainsFunc(losses, func(l ledger.Span) bool { return l.To.After(since) }) {
			c.change(ctx, s, join)
		}
	}
	return c.mu.Unlock
}

// of is in how many clubs a client is. The caller holds mu.
func (c *clubs) of(who *client.Client) (n int) {
	for s, member := range c.member {
		if member && s.client == who {
			n++
		}
	}
	return n
}
