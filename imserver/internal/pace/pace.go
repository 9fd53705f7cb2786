// Package pace works through much against Redis in small batches, without crowding out what users wait for.
//
// A full node has tens of thousands of things to compare after it was cut off, and when Redis itself was away every node
// has, at the same moment. If each took what it can, calls would last longer than their time-outs, all would begin again,
// and leases would not be renewed for want of an answer: an installation that does not recover. So each batch costs Redis
// a few milliseconds, a node has one under way, what was done is not done again, and after each a node leaves Redis to others
// for as long as it took, or a multiple of that.
package pace

import (
	"context"
	"slices"
	"time"
)

const (
	// retry is the pause after a batch that failed: Redis is away, for everybody.
	retry = 300 * time.Millisecond
	// longest is the longest pause after one that did not.
	longest = time.Second
)

// Pace says how fast.
type Pace struct {
	Size int // items in a batch
	Rest int // pause after a batch, as a multiple of the time it took
}

// Each calls do with a batch of items after the other. One that fails is tried again until it succeeds; failed is told the
// first failure of each. The error is that of ctx, or nil when everything is done.
func Each[T any](ctx context.Context, p Pace, items []T, failed func(error), do func(context.Context, []T) error) error {
	for part := range slices.Chunk(items, p.Size) {
		if err := p.one(ctx, failed, func() error { return do(ctx, part) }); err != nil {
			return err
		}
	}
	return nil
}

func (p Pace) one(ctx context.Context, failed func(error), batch func() error) error {
	for first := true; ; first = false {
		began := time.Now()
		err := batch()
		wait := min(time.Since(began)*time.Duration(p.Rest), longest)
		if err != nil {
			wait = retry
			if first && ctx.Err() == nil {
				failed(err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		if err == nil {
			return nil
		}
	}
}
