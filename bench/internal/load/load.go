package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
)

// grace is how much longer than planned a load at a rate may take: what is late is sent late.
const grace = 10 * time.Second

// Plan says what to do.
type Plan struct {
	// Open is called once for each sender, which does one thing after the other.
	Open     func(context.Context) (Sender, error)
	Senders  int
	Duration time.Duration
	// Rate is how many things a second begin, each at its own time whatever became of those before it; 0: a sender
	// begins the next one when the last has ended.
	Rate float64
}

// Total is how many things begin at the plan's rate. Products that are whole but for the arithmetic of floating point are
// whole.
func (p Plan) Total() int64 {
	const rounding = 1e-6
	return int64(p.Rate*p.Duration.Seconds() + rounding)
}

// check refuses what would do nothing, and look as quick as can be.
func (p Plan) check() error {
	switch {
	case p.Senders < 1:
		return fmt.Errorf("a load of %d senders", p.Senders)
	case p.Rate != 0 && p.Total() < 1:
		return fmt.Errorf("not even one in %v at %g a second", p.Duration, p.Rate)
	}
	return nil
}

// Sender does what a load consists of.
type Sender interface {
	// Send does the i-th thing of all senders, which was to begin at this time.
	Send(ctx context.Context, i int64, at time.Time) error
	Close()
}

// Func is a Sender that has nothing to close.
type Func func(ctx context.Context, i int64, at time.Time) error

// Send calls f.
func (f Func) Send(ctx context.Context, i int64, at time.Time) error { return f(ctx, i, at) }

// Close does nothing.
func (f Func) Close() {}

// Open returns f for every sender.
func (f Func) Open(context.Context) (Sender, error) { return f, nil }

// Result is how it went.
type Result struct {
	Done    int64 // things: the first so many, in turn
	Elapsed time.Duration
	Took    *measure.Latency // from when a thing was to begin until it was done
}

// Rate is things a second.
func (r Result) Rate() float64 { return float64(r.Done) / r.Elapsed.Seconds() }

// run is a plan at work.
type run struct {
	Plan
	begin time.Time
	next  atomic.Int64
	total int64 // things that begin at all; with a rate only
}

// sending is what one sender does.
type sending struct {
	Sender
	took *measure.Latency
	done int64
}

// Run sends until the time is over or ctx ends. Time begins when all senders are there: connecting is no part of it. The
// first error ends it.
func Run(ctx context.Context, p Plan) (Result, error) {
	if err := p.check(); err != nil {
		return Result{}, err
	}
	all := make([]*sending, p.Senders)
	for i := range all {
		s, err := p.Open(ctx)
		if err != nil {
			return Result{}, err
		}
		defer s.Close()
		all[i] = &sending{Sender: s, took: measure.NewLatency()}
	}
	limit := p.Duration
	if p.Rate > 0 {
		limit += grace
	}
	// Senders begin nothing after the limit; what is under way is not cut.
	began, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	r := &run{Plan: p, begin: time.Now(), total: p.Total()}
	for _, s := range all {
		wg.Go(func() {
			if err := r.send(ctx, began, s); err != nil {
				once.Do(func() { first = err; cancel() })
			}
		})
	}
	wg.Wait()
	result := Result{Elapsed: time.Since(r.begin), Took: measure.NewLatency()}
	for _, s := range all {
		result.Done += s.done
		result.Took.Merge(s.took)
	}
	if first == nil {
		first = ctx.Err()
	}
	if first == nil && result.Done < r.total {
		first = fmt.Errorf("%d of %d sends were done within %v", result.Done, r.total, limit)
	}
	return result, first
}

// send does one thing after the other until began ends.
func (r *run) send(ctx, began context.Context, s *sending) error {
	for began.Err() == nil {
		i := r.next.Add(1) - 1
		at, more := r.await(began, i)
		if !more {
			return nil
		}
		if err := s.Send(ctx, i, at); err != nil {
			return err
		}
		s.took.Record(time.Since(at))
		s.done++
	}
	return nil
}

// await waits until the i-th thing is to begin and returns when that is; false when it is none any more. One that is
// late already begins at once, and its lateness counts.
func (r *run) await(ctx context.Context, i int64) (time.Time, bool) {
	if r.Rate <= 0 {
		return time.Now(), true
	}
	at := r.begin.Add(time.Duration(float64(i) / r.Rate * float64(time.Second)))
	if i >= r.total {
		return at, false
	}
	if d := time.Until(at); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return at, false
		case <-timer.C:
		}
	}
	return at, true
}
