package clients

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
)

// Crowd is several fleets, each in a process of its own, that do the same at the same time.
type Crowd []Remote

// each calls f for every fleet at once and returns what went wrong.
func (c Crowd) each(f func(i int, r Remote) error) error {
	errs := make([]error, len(c))
	var wg sync.WaitGroup
	for i, r := range c {
		wg.Go(func() { errs[i] = f(i, r) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Open opens the plan of each fleet, all at once; the time is that of the slowest.
func (c Crowd) Open(plan func(i int) Plan) (all Opened, err error) {
	opened := make([]Opened, len(c))
	err = c.each(func(i int, r Remote) (err error) {
		opened[i], err = r.Open(plan(i))
		return err
	})
	for _, o := range opened {
		all.Elapsed = max(all.Elapsed, o.Elapsed)
		all.Retries += o.Retries
	}
	return all, err
}

// Stats is what all fleets have seen so far.
func (c Crowd) Stats() (all Stats, err error) {
	seen := make([]Stats, len(c))
	err = c.each(func(i int, r Remote) (err error) {
		seen[i], err = r.Stats()
		return err
	})
	for _, s := range seen {
		all.Open += s.Open
		all.Started += s.Started
		all.Pings += s.Pings
		all.Ponged += s.Ponged
		all.Messages += s.Messages
		all.Repeated += s.Repeated
		all.Stray += s.Stray
		all.Unproved += s.Unproved
		all.Acks += s.Acks
		all.Errors += s.Errors
		if all.Failure == "" {
			all.Failure = s.Failure
		}
	}
	return all, err
}

// Counts returns how many messages each client has got since Open, the fleets one after the other.
func (c Crowd) Counts() ([]int64, error) {
	counts := make([][]int64, len(c))
	err := c.each(func(i int, r Remote) (err error) {
		counts[i], err = r.Counts()
		return err
	})
	return slices.Concat(counts...), err
}

// Arm prepares for a round's message, which want clients of each fleet will get.
func (c Crowd) Arm(round, want int) error {
	return c.each(func(_ int, r Remote) error { return r.Arm(round, want) })
}

// Await returns the armed round when all clients have its message.
func (c Crowd) Await(limit time.Duration) (all Round, err error) {
	rounds := make([]Round, len(c))
	err = c.each(func(i int, r Remote) (err error) {
		rounds[i], err = r.Await(limit)
		return err
	})
	for _, r := range rounds {
		all.Last = max(all.Last, r.Last)
		all.Frame = r.Frame
	}
	return all, err
}

// Took returns how long connecting and messages took since the last call; see Remote.Took.
func (c Crowd) Took() (connects, messages *measure.Latency, err error) {
	var mu sync.Mutex
	connects, messages = measure.NewLatency(), measure.NewLatency()
	err = c.each(func(_ int, r Remote) error {
		c, m, err := r.Took()
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		connects.Merge(c)
		messages.Merge(m)
		return nil
	})
	return connects, messages, err
}
