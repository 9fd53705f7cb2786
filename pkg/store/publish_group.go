package store

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// Why sends wait for each other. A command that travels alone costs Redis and this process several times what it costs
// among others: each has its own system calls, its own goroutine switches and its own call of a script. So sends that
// are under way at the same moment are put together, as databases do with commits: while one group is at Redis, what
// comes meanwhile becomes the next. Nobody waits for a timer, and a send that is alone leaves at once.
//
// Order: a PublishMany is in one group as a whole, and keeps its order there. Those that are in different groups were
// called at the same time by different goroutines, which are promised none.

const (
	// maxGroups is how many groups are at Redis at the same time. While it works on one the next one grows, and the larger
	// a group is the less each of its sends costs.
	maxGroups = 1
	// maxFullGroups is the same while a full group waits, which would be no larger for waiting longer: so that Redis has
	// something to do while batches are made and their answers are read.
	maxFullGroups = 4
	// maxGroup is how many jobs a group takes; a single PublishMany may have more.
	maxGroup = maxPipeline
)

// groups puts sends together.
type groups struct {
	mu      sync.Mutex
	waiting []*delivery // the oldest first
	jobs    int         // of those that wait
	running int         // goroutines that take groups to Redis; none when nothing waits
}

// add lets a delivery wait, and reports whether another goroutine has to take groups to Redis.
func (g *groups) add(d *delivery) (start bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, d)
	g.jobs += len(d.jobs)
	if start = g.running < g.most(); start {
		g.running++
	}
	return start
}

// most is how many goroutines may take groups to Redis at the moment. The caller holds mu.
func (g *groups) most() int {
	if g.jobs >= maxGroup {
		return maxFullGroups
	}
	return maxGroups
}

// delivery is one PublishMany.
type delivery struct {
	jobs  []*job
	since time.Time
	done  chan struct{} // closed when all jobs have their results
}

// deliver carries out jobs together with those of others. With an error it may still be under way.
func (s *Store) deliver(ctx context.Context, jobs []*job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d := &delivery{jobs: jobs, since: time.Now(), done: make(chan struct{})}
	if s.cluster { // a group would wait for the slowest of its nodes
		return s.deliverAlone(ctx, d)
	}
	if s.groups.add(d) {
		go s.runGroups()
	}
	gone := ctx.Done()
	if gone == nil { // one channel costs less than two, and the store's own time bounds the wait
		<-d.done
		return nil
	}
	select {
	case <-d.done:
		return nil
	case <-gone:
		return ctx.Err()
	}
}

func (s *Store) deliverAlone(ctx context.Context, d *delivery) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	s.performAll(ctx, d.jobs)
	return nil
}

// runGroups takes groups to Redis until nothing waits, or others are enough.
func (s *Store) runGroups() {
	for {
		runtime.Gosched() // goroutines that are about to send can join
		group := s.groups.take()
		if group == nil {
			return
		}
		n := 0
		for _, d := range group {
			n += len(d.jobs)
		}
		jobs := make([]*job, 0, n)
		for _, d := range group {
			jobs = append(jobs, d.jobs...)
		}
		// The time of the one that has waited longest: nobody waits longer than a command may take.
		ctx, cancel := context.WithDeadline(context.Background(), group[0].since.Add(s.timeout))
		s.performAll(ctx, jobs)
		cancel()
		for _, d := range group {
			close(d.done)
		}
	}
}

// take returns the next group, or nil when the goroutine that asked has to end: nothing waits, or others are enough.
func (g *groups) take() []*delivery {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 || g.running > g.most() {
		g.running--
		return nil
	}
	n, jobs := 1, len(g.waiting[0].jobs)
	for n < len(g.waiting) && jobs+len(g.waiting[n].jobs) <= maxGroup {
		jobs += len(g.waiting[n].jobs)
		n++
	}
	group := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	g.jobs -= jobs
	if len(g.waiting) == 0 {
		g.waiting = nil // or the array would keep what was sent
	}
	return group
}
