package store

import (
	"context"
	_ "embed"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// RetryError makes an event come again After a time that its handler chooses, instead of one that doubles.
type RetryError struct {
	After time.Duration
	Err   error
}

func (e *RetryError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *RetryError) Unwrap() error { return e.Err }

// worker goes through some of a consumer's partitions, one after the other.
type worker struct {
	c    *consumer
	wake chan struct{} // holds one token while there is something new in the fields below

	mu    sync.Mutex
	mine  map[int]bool // partitions to read
	ready map[int]bool // of those, the ones to look at now

	// Worker only (and leave, after it ended).
	held  map[int]*holding // locks taken
	retry map[int]delay    // partitions whose handler failed
}

// holding is how far the worker got with a partition that it holds. The zero value begins with what is in hand.
type holding struct {
	passed bool   // what a predecessor left in hand has been gone through
	after  string // else how far
	last   string // id of the entry that was read last; empty: not known
}

// delay is when to try again, and how long to wait if that fails too.
type delay struct {
	at   time.Time
	next time.Duration
}

func newWorker(c *consumer) *worker {
	return &worker{
		c:     c,
		wake:  make(chan struct{}, 1),
		mine:  make(map[int]bool),
		ready: make(map[int]bool),
		held:  make(map[int]*holding),
		retry: make(map[int]delay),
	}
}

// assign sets the partitions to read; all of them are to be looked at.
func (w *worker) assign(partitions []int) {
	w.mu.Lock()
	clear(w.mine)
	for _, p := range partitions {
		w.mine[p], w.ready[p] = true, true
	}
	w.mu.Unlock()
	w.signal()
}

// hint says that there is something new in a partition.
func (w *worker) hint(p int) {
	w.mu.Lock()
	w.ready[p] = true
	w.mu.Unlock()
	w.signal()
}

func (w *worker) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		w.dropOthers(ctx)
		for _, p := range w.due() {
			if ctx.Err() != nil {
				return
			}
			w.serve(ctx, p)
		}
		timer.Reset(w.pause())
	}
}

// due returns the partitions to look at now: those that are ready, but not those that wait for another try, except
// when it is time for it.
func (w *worker) due() []int {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.retry {
		w.ready[p] = true
	}
	var out []int
	for _, p := range slices.Sorted(maps.Keys(w.ready)) {
		if w.mine[p] && !now.Before(w.retry[p].at) {
			out = append(out, p)
		}
	}
	clear(w.ready)
	return out
}

// pause is how long there is nothing to try again.
func (w *worker) pause() time.Duration {
	wait := w.c.feed.scan
	for _, d := range w.retry {
		wait = min(wait, time.Until(d.at))
	}
	return max(wait, 0)
}

// dropOthers gives back partitions that belong to another consumer by now.
func (w *worker) dropOthers(ctx context.Context) {
	w.mu.Lock()
	var calls []call
	for p := range w.held {
		if !w.mine[p] {
			delete(w.held, p)
			calls = append(calls, w.c.unlockCall(p))
		}
	}
	for p := range w.retry {
		if !w.mine[p] {
			delete(w.retry, p)
		}
	}
	w.mu.Unlock()
	_, _ = w.c.s.runChunks(context.WithoutCancel(ctx), unlockScript, calls, "give partitions back") // else they run out
}

// serve delivers the next entries of a partition. When there may be more the partition is ready again: the others have their
// turn first, and who it belongs to is looked at.
func (w *worker) serve(ctx context.Context, p int) {
	got, err := w.take(ctx, p)
	if err != nil {
		if w.held[p] == nil {
			w.held[p] = &holding{} // perhaps: Redis may have done it without an answer
		}
		w.failed(p, err)
		return
	}
	if !got.held {
		delete(w.held, p)
		delete(w.retry, p)
		return
	}
	if err := w.handle(ctx, p, got); err != nil {
		w.held[p] = &holding{} // what failed and what is behind it are in hand now
		w.failed(p, err)
		return
	}
	delete(w.retry, p)
	if got.old || got.lost != nil || len(got.entries) == eventBatch {
		w.hint(p)
	}
}

// handle delivers what was read, and notes how far that is.
func (w *worker) handle(ctx context.Context, p int, got reading) error {
	h := w.held[p]
	if h == nil {
		h = &holding{}
		w.held[p] = h
	}
	h.passed = !got.old
	if got.lost != nil {
		if err := w.c.lost(ctx, got.lost[0], got.lost[1]); err != nil {
			return err
		}
		h.last = got.lost[1] // now it is known, and the next reading goes on with that entry
		return nil
	}
	for _, e := range got.entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.c.deliver(ctx, p, e); err != nil {
			return err
		}
		if got.old {
			h.after = e.id
		} else {
			h.last = e.id
		}
	}
	return nil
}

func (w *worker) failed(p int, err error) {
	var own *RetryError
	if errors.As(err, &own) {
		w.retry[p] = delay{at: time.Now().Add(own.After)}
		return
	}
	next := max(w.retry[p].next, eventRetry)
	w.retry[p] = delay{time.Now().Add(next), min(2*next, eventRetryMost)}
}
