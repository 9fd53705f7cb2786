package store

import (
	"context"
	_ "embed"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

//go:embed lua/consumers.lua
var consumersLua string

var consumersScript = newScript("consumers", preludeLua+consumersLua)

const (
	eventWorkers   = 8                // handlers of one consumer that run side by side, unless told otherwise
	eventScan      = 2 * time.Second  // how often all partitions are looked at, hints or not
	eventLockTTL   = 30 * time.Second // a consumer that neither reads nor acknowledges for so long loses its partitions
	consumerAlive  = 10 * time.Second // five scans: one that missed them takes no part in the sharing out
	eventBatch     = 64               // entries read at a time
	eventRetry     = 100 * time.Millisecond
	eventRetryMost = 10 * time.Second // the delay doubles up to here
)

// consumer is one member of a consumer group. Each partition is read by one member at a time: that, and one worker per
// partition, is what keeps the order.
//
//	keeper   says that it lives, shares the partitions out among those that do, wakes the workers every scan
//	hints    wake the worker of a partition that has something new
//	workers  read and deliver
type consumer struct {
	s       *Store
	feed    *feed
	group   string
	token   string // unique, also among consumers of the same name
	deliver func(ctx context.Context, p int, e entry) error
	lost    func(ctx context.Context, after, before string) error // entries between two ids were trimmed unread
	beside  *sync.WaitGroup                                       // what deliver started and did not wait for; may be nil
	ready   func()                                                // may be nil
	workers []*worker

	mu    sync.Mutex
	alive []string // tokens, as the keeper saw them last; nil before
}

func newConsumer(s *Store, f *feed, group, name string, workers int) *consumer {
	c := &consumer{s: s, feed: f, group: group, token: name + ":" + newToken()}
	for range workers {
		c.workers = append(c.workers, newWorker(c))
	}
	return c
}

// ConsumeOptions refine ConsumeEvents and ConsumeRequests.
type ConsumeOptions struct {
	Workers int // how many handlers of this consumer may run side by side; default 8 for events, 64 for requests

	// Ready is called when the consumer group is there: what happens from then on is not missed. Not for requests.
	Ready func()
}

// ConsumeEvents gives the events of all clients to h until ctx ends, and returns its error. Each event goes to one of the
// consumers of a group, at least once: if h returns an error it is called again with the same event, after a delay that
// grows (or the one that a RetryError gives), while events of other clients go on; if the consumer dies, another gets
// the event within 30 seconds. The events of one client come in their order, one at a time; those of different clients
// side by side, so h must be safe for that. A handler that takes longer than 30 s may be overtaken by another consumer.
//
// A new group begins with what happens from now on; after that it misses nothing while no consumer runs, up to some
// Options.EventsSize events per partition. If it missed more, h gets an EventLost in their place. consumer names the
// member; equal names do no harm.
func (s *Store) ConsumeEvents(ctx context.Context, group, consumerName string, h func(context.Context, Event) error, o ConsumeOptions) error {
	if o.Workers <= 0 {
		o.Workers = eventWorkers
	}
	c := newConsumer(s, s.eventFeed(), group, consumerName, o.Workers)
	c.handleEvents(h)
	c.ready = o.Ready
	return c.run(ctx)
}

// handleEvents makes the consumer deliver events: one by one, each acknowledged before the next.
func (c *consumer) handleEvents(h func(context.Context, Event) error) {
	c.deliver = func(ctx context.Context, p int, e entry) error {
		// An entry without text was trimmed before it was handled; one that is no event was not written by imtier.
		if e.text == "" {
			if err := h(ctx, lostEvent(e.id, e.id)); err != nil {
				return err
			}
		} else if ev, err := parseEvent(p, e.id, e.text); err == nil {
			if err := h(ctx, ev); err != nil {
				return err
			}
		}
		return c.acknowledge(ctx, p, e)
	}
	c.lost = func(ctx context.Context, after, before string) error { return h(ctx, lostEvent(after, before)) }
}

// run consumes until ctx ends, and returns its error.
func (c *consumer) run(ctx context.Context) error {
	if !c.createGroups(ctx) {
		return ctx.Err()
	}
	if c.ready != nil {
		c.ready()
	}
	defer c.leave(ctx)

	sub := c.s.NewSubscriber(c)
	var wg sync.WaitGroup
	wg.Go(func() { _ = sub.Run(ctx) }) // without hints the scan finds everything
	wg.Go(func() { _ = sub.Subscribe(ctx, c.feed.channel) })
	wg.Go(func() { c.keep(ctx) })
	for _, w := range c.workers {
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()
	if c.beside != nil {
		c.beside.Wait()
	}
	return ctx.Err()
}

// createGroups makes the consumer group in every partition that lacks it, however long that takes. It reports false
// when ctx ended first.
func (c *consumer) createGroups(ctx context.Context) bool {
	todo := c.s.allPartitions()
	for delay := eventRetry; ; delay = min(2*delay, eventRetryMost) {
		var missing []int
		for i, err := range c.s.createGroups(ctx, c.feed, todo, c.group, "$") {
			if err != nil {
				missing = append(missing, todo[i])
			}
		}
		if todo = missing; len(todo) == 0 {
			return true
		}
		if !pause(ctx, delay) {
			return false
		}
	}
}

// createGroups makes a consumer group that starts after an id; it is no error if there is one.
func (s *Store) createGroups(ctx context.Context, f *feed, partitions []int, group, after string) []error {
	cmds := make([]rueidis.Completed, len(partitions))
	for i, p := range partitions {
		cmds[i] = s.client.B().XgroupCreate().Key(f.stream(p)).Group(group).Id(after).Mkstream().Build()
	}
	errs := make([]error, len(partitions))
	for i, r := range s.doMulti(ctx, cmds...) {
		if err := r.Error(); err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
			errs[i] = wrap("create consumer group "+group, err)
		}
	}
	return errs
}

// keep shares the partitions out among the consumers that are alive, and wakes all workers.
func (c *consumer) keep(ctx context.Context) {
	tick := time.NewTicker(c.feed.scan)
	defer tick.Stop()
	keys := []string{c.feed.consumers(c.group)}
	args := []string{c.token, millis(c.feed.alive)}
	for {
		// Also when ctx ends meanwhile, so that leave comes after it.
		alive, err := c.s.run(context.WithoutCancel(ctx), consumersScript, keys, args).AsStrSlice()
		if err == nil { // else as before
			c.mu.Lock()
			c.alive = alive
			c.mu.Unlock()
			shares := c.share(alive)
			for i, w := range c.workers {
				w.assign(shares[i])
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// isDead reports whether the holder of a partition may be taken for dead.
func (c *consumer) isDead(holder string) bool {
	if !c.feed.steal || holder == "" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alive != nil && !slices.Contains(c.alive, holder)
}

// share gives each partition to the consumer with the highest hash for it, so that when one comes or goes only its own
// partitions change hands. It returns this consumer's, by worker.
func (c *consumer) share(alive []string) (out [][]int) {
	out = make([][]int, len(c.workers))
	for p := range c.s.Partitions() {
		best, owner := uint64(0), ""
		for _, token := range alive {
			if w := protocol.Rank(token, p); owner == "" || w > best {
				best, owner = w, token
			}
		}
		if owner == c.token {
			i := p % len(c.workers)
			out[i] = append(out[i], p)
		}
	}
	return out
}

// leave gives back what this consumer holds, so that the others need not wait for it to run out. Nothing else of the
// consumer is under way any more: no take, and no sign of life.
func (c *consumer) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	var calls []call
	for _, w := range c.workers {
		for p := range w.held {
			calls = append(calls, c.unlockCall(p))
		}
	}
	_, _ = c.s.runChunks(ctx, unlockScript, calls, "give partitions back") // else they run out
	_ = c.s.do(ctx, c.s.client.B().Zrem().Key(c.feed.consumers(c.group)).Member(c.token).Build()).Error()
}

func (c *consumer) unlockCall(p int) call {
	return call{[]string{c.feed.lock(p, c.group)}, []string{c.token}}
}

// acknowledge says that an entry was handled, and renews the partition.
func (c *consumer) acknowledge(ctx context.Context, p int, e entry) error {
	keys := []string{c.feed.stream(p), c.feed.lock(p, c.group)}
	args := []string{c.token, millis(eventLockTTL), c.group, e.id}
	// Also when ctx has ended meanwhile: what was handled need not come again.
	held, err := c.s.run(context.WithoutCancel(ctx), ackScript, keys, args).AsInt64()
	if err == nil && held == 0 {
		err = errOvertaken
	}
	return err
}

var errOvertaken = errors.New("another consumer has the partition")

// Message is a hint: the payload names a partition that has new entries.
func (c *consumer) Message(_ string, payload []byte) {
	if p, err := strconv.Atoi(string(payload)); err == nil && p >= 0 {
		c.workers[p%len(c.workers)].hint(p)
	}
}

// Lost and Restored are of no matter: the scan finds what hints did not tell.
func (c *consumer) Lost(error) {}
func (c *consumer) Restored()  {}
