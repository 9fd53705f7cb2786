package rig

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/client"
)

// churners is how many devices come or go at once.
const churners = 16

// Churn is clients with several devices each, on all nodes, that come and go.
type Churn struct {
	r     *Rig
	slots []*slot
	ops   atomic.Int64
}

// slot is one device of a client, on one node. One goroutine at a time works on it.
type slot struct {
	client, device string
	node           int
	conn           *client.Conn // nil while it is away
	ended          chan struct{}
}

// NewChurn makes clients; all their devices are away.
func (r *Rig) NewChurn(clients, devices int) *Churn {
	c := &Churn{r: r}
	for i := range clients {
		for d := range devices {
			c.slots = append(c.slots, &slot{
				client: fmt.Sprint("churn-", i), device: fmt.Sprint("device-", d), node: (i + d) % len(r.Nodes),
			})
		}
	}
	r.T.Cleanup(c.Leave)
	return c
}

// Run makes devices come and go, so many times a second in all, and returns how often it was.
func (c *Churn) Run(d time.Duration, rate int, seed uint64) int {
	ctx, cancel := context.WithTimeout(c.r.T.Context(), d)
	defer cancel()
	before := c.ops.Load()
	var wg sync.WaitGroup
	for w := range churners {
		rng := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() {
			tick := time.NewTicker(churners * time.Second / time.Duration(rate))
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					// Those of one worker are its own: every churners-th.
					own := (len(c.slots) - w + churners - 1) / churners
					c.toggle(c.slots[w+churners*rng.IntN(own)], rng)
				}
			}
		})
	}
	wg.Wait()
	return int(c.ops.Load() - before)
}

func (c *Churn) toggle(s *slot, rng *rand.Rand) {
	c.ops.Add(1)
	if s.conn != nil {
		s.part(rng.IntN(2) == 0)
		return
	}
	if err := c.come(s); err != nil {
		c.r.T.Errorf("%s did not connect: %v", s.client, err)
	}
}

// come connects a device to its node: a URL is good on any.
func (c *Churn) come(s *slot) error {
	ctx, cancel := context.WithTimeout(c.r.T.Context(), startTimeout)
	defer cancel()
	req := api.ConnectRequest{ClientID: s.client, Device: s.device}
	conn, err := c.r.open(ctx, req, c.r.Nodes[s.node].Addr, client.Raw)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := conn.NextRaw(c.r.T.Context()); err != nil {
				return
			}
		}
	}()
	s.conn, s.ended = conn, ended
	return nil
}

// part ends the connection, in order or without a word.
func (s *slot) part(orderly bool) {
	if orderly {
		s.conn.Close()
	}
	s.conn.Cut()
	<-s.ended
	s.conn = nil
}

// Leave disconnects all devices.
func (c *Churn) Leave() {
	for _, s := range c.slots {
		if s.conn != nil {
			s.part(false)
		}
	}
}

// Connections is how many devices of each client are connected.
func (c *Churn) Connections() map[string]int {
	out := make(map[string]int)
	for _, s := range c.slots {
		out[s.client] += 0
		if s.conn != nil {
			out[s.client]++
		}
	}
	return out
}
