package bus

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// repairRetry is the pause after a comparison that failed.
const repairRetry = 300 * time.Millisecond

// comparison compares a part of this node's state with Redis whenever asked. Each has a goroutine of its own: to compare
// the clients of a full node takes seconds, and what streams have missed meanwhile must not wait for that.
type comparison struct {
	what  string
	asked chan struct{} // capacity 1: requests that wait are one
	do    func(context.Context) error
	log   *zap.Logger
}

func newComparison(what string, log *zap.Logger, do func(context.Context) error) *comparison {
	return &comparison{what: what, asked: make(chan struct{}, 1), do: do, log: log}
}

// ask requests a comparison that begins after the call.
func (c *comparison) ask() {
	select {
	case c.asked <- struct{}{}:
	default:
	}
}

// run compares until ctx ends. What failed is tried again until it succeeds.
func (c *comparison) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.asked:
		}
		begin := time.Now()
		err := c.do(ctx)
		if err == nil {
			c.log.Info("compared with redis", zap.String("what", c.what), zap.Duration("took", time.Since(begin)))
			continue
		}
		if ctx.Err() != nil {
			return
		}
		c.log.Warn("compare with redis, will retry", zap.String("what", c.what), zap.Error(err))
		c.ask()
		select {
		case <-ctx.Done():
			return
		case <-time.After(repairRetry):
		}
	}
}

// doubt withholds the messages of groups: clients may have left some of them unnoticed. A comparison of clients ends it.
func (b *Bus) doubt() {
	b.doubts.Add(1)
	b.o.Hub.HoldGroups()
}

// trust lets the messages of groups flow again if memberships have not been doubted since.
func (b *Bus) trust(since int64) {
	if b.doubts.Load() == since {
		b.o.Hub.ReleaseGroups()
	}
	if b.doubts.Load() != since { // doubted between the two
		b.o.Hub.HoldGroups()
	}
}

// compareClients finds out which connections must not be open, or are not registered, and what joins and leaves were missed.
func (b *Bus) compareClients(ctx context.Context) error {
	doubts := b.doubts.Load()
	if err := b.o.Compare(ctx); err != nil {
		return err
	}
	if err := b.compareMemberships(ctx); err != nil {
		return err
	}
	b.trust(doubts)
	return nil
}
