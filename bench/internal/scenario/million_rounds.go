package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
)

const (
	// millionLimit is how long a broadcast may take to the last socket.
	millionLimit = 3 * time.Minute
	// millionPause lets what a round left behind end before the next one.
	millionPause = time.Second
)

// broadcasts sends messages to everybody, one after the other. It returns how many seconds each took to the last client,
// and a frame as it arrived.
func (o *Million) broadcasts(ctx context.Context, c *cluster, res *report.Result) (last []float64, frame []byte, err error) {
	if _, _, err := c.fleets.Took(); err != nil { // forgets what was before
		return nil, nil, err
	}
	for range o.Rounds {
		took, f, err := o.broadcast(ctx, c, sideImtier)
		if err != nil {
			return nil, nil, err
		}
		last, frame = append(last, took), f
	}
	_, took, err := c.fleets.Took()
	if err != nil {
		return nil, nil, err
	}
	reportRounds(res, c.cpu, sideImtier, last, c.size.Connections())
	res.Took("broadcast", took)
	res.Costs = append(res.Costs, c.cpu.cost(sideImtier, "delivery", int64(o.Rounds)*int64(c.size.Connections())))
	return last, frame, nil
}

func reportRounds(res *report.Result, cpu *account, name string, last []float64, n int) {
	median := measure.Median(last)
	res.Add(name+", broadcast to the last socket, median", median, "s", fmt.Sprintf("best %.2f, worst %.2f; %.0f deliveries/s; other programs had %.0f%% of the processors",
		measure.Quantile(last, 0), measure.Quantile(last, 1), float64(n)/median, 100*cpu.others(name)))
}

// broadcast sends one message to everybody through webapi and waits until all have it.
func (o *Million) broadcast(ctx context.Context, c *cluster, work string) (seconds float64, frame []byte, err error) {
	return o.broadcastAfter(ctx, c, work, func() error { return nil })
}

// broadcastAfter does something else just before.
func (o *Million) broadcastAfter(ctx context.Context, c *cluster, work string, before func() error) (seconds float64, frame []byte, err error) {
	c.round++
	data := clients.Data(c.round, o.Size)
	seconds, frame, err = toAll(ctx, c.fleets, c.cpu, work, c.round, c.size.PerNode, func(begin time.Time) error {
		clients.Stamp(data, begin)
		if err := before(); err != nil {
			return err
		}
		return c.webapi.broadcast(ctx, data)
	})
	if err != nil {
		return 0, nil, fmt.Errorf("broadcast: %w", err)
	}
	for i := range c.sent {
		c.sent[i] += int64(c.size.PerNode)
	}
	c.p.Say("million: broadcast %d: the last client had it after %.2f s", c.round, seconds)
	return seconds, frame, nil
}

// interrupt cuts all subscriptions at once and sends a broadcast that nobody is subscribed for: every node finds it in the
// log, and compares all that it holds with Redis, at the same time as all others.
func (o *Million) interrupt(ctx context.Context, c *cluster, res *report.Result) error {
	c.p.Say("million: cutting the subscriptions of all nodes …")
	took, _, err := o.broadcastAfter(ctx, c, "", func() error { return procs.CutSubscriptions(c.redis) })
	if err != nil {
		return fmt.Errorf("all subscriptions cut: %w", err)
	}
	res.Add("broadcast with all subscriptions cut, to the last socket", took, "s", "")
	return nil
}

// toAll has something sent that every client gets, and waits until all have it.
func toAll(ctx context.Context, fleets clients.Crowd, cpu *account, work string, round, each int, send func(begin time.Time) error) (seconds float64, frame []byte, err error) {
	if err := pause(ctx, millionPause); err != nil {
		return 0, nil, err
	}
	if err := fleets.Arm(round, each); err != nil {
		return 0, nil, err
	}
	if err := cpu.begin(); err != nil {
		return 0, nil, err
	}
	begin := time.Now()
	if err := send(begin); err != nil {
		return 0, nil, err
	}
	r, err := fleets.Await(millionLimit)
	if err != nil {
		return 0, nil, err
	}
	return time.Unix(0, r.Last).Sub(begin).Seconds(), r.Frame, cpu.end(work)
}
