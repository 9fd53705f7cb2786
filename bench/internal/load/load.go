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

	mu   sync.Mutex
	done int64
	took *measure.Latency
}

// Run sends until the time is over or ctx ends. The first error ends it.
func Run(ctx context.Context, p Plan) (Result, error) {
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	limit := p.Duration
	if p.Rate > 0 {
		limit += grace
	}
	// Senders begin nothing after the limit; what is under way is not cut.
	began, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r := &run{Plan: p, begin: time.Now(), total: int64(p.Rate * p.Duration.Seconds()), took: measure.NewLatency()}
	for range p.Senders {
		wg.Go(func() {
			if err := r.sender(ctx, began); err != nil {
				once.Do(func() { first = err; cancel() })
			}
		})
	}
	wg.Wait()
	if first == nil {
		first = ctx.Err()
	}
	if first == nil && r.done < r.total {
		first = fmt.Errorf("%d of %d sends were done within %v", r.done, r.total, limit)
	}
	return Result{Done: r.done, Elapsed: time.Since(r.begin), Took: r.took}, first
}

// sender does one thing after the other until began ends.
func (r *run) sender(ctx, began context.Context) error {
	s, err := r.Open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	took, done := measure.NewLatency(), int64(0)
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.done += done
		r.took.Merge(took)
	}()
	for began.Err() == nil {
		i := r.next.Add(1) - 1
		at, more := r.await(began, i)
		if !more {
			return nil
		}
		if err := s.Send(ctx, i, at); err != nil {
			return err
		}
		took.Record(time.Since(at))
		done++
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
