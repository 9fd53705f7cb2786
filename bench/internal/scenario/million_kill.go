package scenario

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/report"
)

const (
	// killBatches is how many batches are under way at once to the clients of the node that was killed.
	killBatches = 4
	// backWork is the name of their return.
	backWork = "resume"
)

// kill ends the first node without warning. Each of its clients misses a message, and comes back on another node with the
// positions it had. In the end everybody gets one more broadcast.
func (o *Million) kill(ctx context.Context, c *cluster, res *report.Result) error {
	victim, fleet, plan := c.nodes[0], c.fleets[0], c.plans[0]
	c.p.Say("million: killing a node; its %d clients go to the others …", plan.Count)
	plan.URLs = nil
	for _, n := range c.nodes[1:] {
		plan.URLs = append(plan.URLs, n.URL)
	}
	if err := fleet.Expect(); err != nil {
		return err
	}
	c.cpu.gone(victim.PID())
	if err := c.cpu.begin(); err != nil {
		return err
	}
	killed := time.Now()
	victim.Kill()
	if err := fleet.Gone(); err != nil {
		return err
	}
	noticed := time.Since(killed)
	before := c.sent[0]
	if err := o.missed(ctx, c); err != nil {
		return fmt.Errorf("messages to the clients of the killed node: %w", err)
	}
	plan.Messages, plan.Limit = c.sent[0]-before, arriveLimit
	sent := time.Since(killed)
	opened, err := fleet.Open(plan)
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	back := time.Since(killed)
	if err := c.cpu.end(backWork); err != nil {
		return err
	}
	c.p.Say("million: all of them are back with every message, %.2f s after the kill", back.Seconds())
	res.Add("after kill -9 of a node, until its clients are back with every message", back.Seconds(), "s",
		fmt.Sprintf("%d clients, %d missed messages; noticed after %.2f s, messages sent after %.2f s, %d answered 503 and tried again",
			plan.Count, plan.Messages, noticed.Seconds(), sent.Seconds(), opened.Retries))
	res.Costs = append(res.Costs, c.cpu.cost(backWork, "client", int64(plan.Count)))
	again, _, err := o.broadcast(ctx, c, "")
	res.Add("broadcast after that, to the last socket", again, "s", "")
	return err
}

// missed sends messages to the clients of the first node while they are away.
func (o *Million) missed(ctx context.Context, c *cluster) error {
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	slots := make(chan struct{}, killBatches)
	for lot := range slices.Chunk(c.plans[0].Numbers, batchSize) {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := c.webapi.batch(ctx, lot); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	c.sent[0] += int64(c.size.PerNode)
	if first != nil || !o.MissBroadcast {
		return first
	}
	c.round++
	for i := range c.sent {
		c.sent[i] += int64(c.size.PerNode)
	}
	return c.webapi.broadcast(ctx, clients.Data(c.round, o.Size))
}

// check looks at the end whether every client has exactly what was sent to it.
func (o *Million) check(ctx context.Context, c *cluster, res *report.Result) error {
	if err := c.arrived(ctx); err != nil {
		return err
	}
	if err := pause(ctx, settleTime); err != nil { // one too many would come about now
		return err
	}
	var off, sent int64
	for i, f := range c.fleets {
		s, err := f.Stats()
		if err != nil {
			return err
		}
		sent += c.sent[i]
		off += int64(math.Abs(float64(c.sent[i] - s.Messages)))
	}
	all, err := c.fleets.Stats()
	if err != nil {
		return err
	}
	if all.Failure != "" {
		return fmt.Errorf("a client failed: %s", all.Failure)
	}
	none := report.AtMost(0)
	res.Check(lostOrMore, float64(off), "", none, fmt.Sprintf("of %d", sent))
	res.Check("messages twice, out of order, or for another client", float64(all.Repeated+all.Stray), "", none, "")
	res.Check(unsure, float64(all.Unproved), "", none, "")
	res.Add("handshakes refused, connections broken beside the killed node's", float64(all.Errors), "", "")
	online, _, err := c.st.Totals(ctx)
	checkOnline(res, ", in the end", c.size.Connections(), online)
	most := c.watch.highest()
	res.Add("all memory in use, highest of the run", inGB(most.unavailable), "GB", fmt.Sprintf("unread data in TCP sockets up to %.2f GB", inGB(most.sockets)))
	return err
}
