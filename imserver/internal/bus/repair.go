package bus

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// comparison compares a part of this node's state with Redis whenever asked. Each has a goroutine of its own: to compare
// the clients of a full node takes a while, and what streams have missed meanwhile must not wait for that.
type comparison struct {
	what  string
	asked chan struct{} // capacity 1: requests that wait are one
	// do compares, and ends only when it has, or ctx ends; failed is told of what has to be tried again.
	do  func(ctx context.Context, failed func(error)) error
	log *zap.Logger
}

func newComparison(what string, log *zap.Logger, do func(context.Context, func(error)) error) *comparison {
	return &comparison{what: what, asked: make(chan struct{}, 1), do: do, log: log}
}

// ask requests a comparison that begins after the call.
func (c *comparison) ask() {
	select {
	case c.asked <- struct{}{}:
	default:
	}
}

// run compares until ctx ends.
func (c *comparison) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.asked:
		}
		begin := time.Now()
		if c.do(ctx, c.failed) != nil {
			return
		}
		c.log.Info("compared with redis", zap.String("what", c.what), zap.Duration("took", time.Since(begin)))
	}
}

func (c *comparison) failed(err error) {
	c.log.Warn("compare with redis, will retry", zap.String("what", c.what), zap.Error(err))
}

// doubt withholds the messages of groups: clients may have left some of them unnoticed. A comparison of clients ends it.
func (b *Bus) doubt() {
	b.doubts.Add(1)
	b.missed.Add(1)
	b.o.Hub.HoldGroups()
}

// trust lets the messages of groups flow again if memberships have not been doubted since. While the subscription is
// interrupted they are changing unnoticed.
func (b *Bus) trust(since int64) {
	if b.lost.Load() {
		return // Restored asks for another comparison
	}
	if b.doubts.Load() == since {
		b.o.Hub.ReleaseGroups()
	}
	if b.doubts.Load() != since { // doubted between the two
		b.o.Hub.HoldGroups()
	}
}

// miss tells the hub that something may not have arrived.
func (b *Bus) miss() {
	since := b.sub.Complete()
	if since.IsZero() { // nothing was followed before
		since = time.Now()
	}
	b.o.Hub.Missed(since)
}

// compareStreams finds what the streams have that did not arrive. The fences come first: then what was sent below them is
// there, and nothing follows it. If they cannot be raised now, what was missed need not wait for it.
func (b *Bus) compareStreams(ctx context.Context, failed func(error)) error {
	_ = b.Sure(ctx) // confirmLife tells
	return b.o.Hub.Verify(ctx, failed)
}

// compareClients finds out what joins and leaves were missed, and which connections must not be open, or are not registered.
// Memberships come first: the messages of groups wait for them.
func (b *Bus) compareClients(ctx context.Context, failed func(error)) error {
	doubts := b.doubts.Load()
	if err := b.compareMemberships(ctx, failed); err != nil {
		return err
	}
	b.trust(doubts)
	return b.o.Compare(ctx, failed)
}
