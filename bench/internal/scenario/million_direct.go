package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/imtier/imtier/bench/internal/report"
)

// directWork is the name of sending to random clients.
const directWork = "direct"

// direct sends messages to random clients at a steady rate. Each says when it was due, so that one that had to wait
// for those before it counts as late.
func (o *Million) direct(ctx context.Context, c *cluster, res *report.Result) error {
	c.p.Say("million: %d direct messages to random clients, %d a second …", o.Directs, o.Rate)
	if err := c.cpu.begin(); err != nil {
		return err
	}
	if err := o.sendDirect(ctx, c); err != nil {
		return fmt.Errorf("direct messages: %w", err)
	}
	if err := c.arrived(ctx); err != nil {
		return fmt.Errorf("direct messages: %w", err)
	}
	if err := c.cpu.end(directWork); err != nil {
		return err
	}
	_, took, err := c.fleets.Took()
	if err != nil {
		return err
	}
	res.Took("direct message through webapi", took)
	res.Costs = append(res.Costs, c.cpu.cost(directWork, "message", int64(o.Directs)))
	return nil
}

// sendDirect returns when everything has been accepted.
func (o *Million) sendDirect(ctx context.Context, c *cluster) error {
	type job struct {
		to  int32
		due time.Time
	}
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs := make(chan job, o.Directs) // never full: a sender that is late delays no other
	for range senderConns {
		wg.Go(func() {
			for j := range jobs {
				if err := c.webapi.direct(ctx, j.to, j.due); err != nil {
					once.Do(func() { first = err; cancel() })
					return
				}
			}
		})
	}
	begin := time.Now()
	for i := range o.Directs {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(o.Rate))
		if pause(ctx, time.Until(due)) != nil {
			break
		}
		fleet := rand.IntN(c.size.Nodes)
		numbers := c.plans[fleet].Numbers
		c.sent[fleet]++
		jobs <- job{numbers[rand.IntN(len(numbers))], due}
	}
	close(jobs)
	wg.Wait()
	if first == nil {
		first = context.Cause(ctx) // told to stop
	}
	return first
}

// arrived waits until every fleet has as many messages as it was sent.
func (c *cluster) arrived(ctx context.Context) error {
	for end := time.Now().Add(arriveLimit); ; {
		missing, where := int64(0), 0
		for i, f := range c.fleets {
			s, err := f.Stats()
			if err != nil {
				return err
			}
			if s.Failure != "" {
				return fmt.Errorf("node %d: a client failed: %s", i, s.Failure)
			}
			if d := c.sent[i] - s.Messages; d > 0 {
				missing, where = missing+d, i
			}
		}
		if missing == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d messages have not arrived, some of them for clients of node %d", missing, where)
		}
		if err := pause(ctx, roundPause); err != nil {
			return err
		}
	}
}
