package store

import (
	"context"
	_ "embed"
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
	eventWorkers   = 8                // handlers of one consumer that run side by side
	eventScan      = 2 * time.Second  // how often all partitions are looked at, hints or not
	eventLockTTL   = 30 * time.Second // a consumer that neither reads nor acknowledges for so long loses its partitions
	consumerAlive  = 10 * time.Second // five scans: one that missed them takes no part in the sharing out
	eventBatch     = 64               // events read at a time
	eventRetry     = 100 * time.Millisecond
	eventRetryMost = 10 * time.Second // the delay doubles up to here
)

// consumer is one member of a consumer group. Each partition is read by one member at a time: that, and one worker per
// partition, is what keeps the order.
//
//	keeper   says that it lives, shares the partitions out among those that do, wakes the workers every eventScan
//	hints    wake the worker of a partition that has something new
//	workers  read, call the handler, acknowledge
type consumer struct {
	s       *Store
	group   string
	token   string // unique, also among consumers of the same name
	handle  func(context.Context, Event) error
	workers [eventWorkers]*eventWorker
}

// ConsumeEvents gives the events of all clients to h until ctx ends, and returns its error. Each event goes to one of the
// consumers of a group, at least once: if h returns an error it is called again with the same event, after a delay that
// grows, while events of other clients go on; if the consumer dies, another gets the event within 30 seconds. The events
// of one client come in their order, one at a time; those of different clients side by side, so h must be safe for
// that. A handler that takes longer than 30 s may be overtaken by another consumer.
//
// A new group begins with what happens from now on; after that it misses nothing while no consumer runs, up to some
// 10,000 events per partition. consumer names the member; equal names do no harm.
func (s *Store) ConsumeEvents(ctx context.Context, group, consumerName string, h func(context.Context, Event) error) error {
	c := &consumer{s: s, group: group, token: consumerName + ":" + newToken(), handle: h}
	for i := range c.workers {
		c.workers[i] = newEventWorker(c)
	}
	if !c.createGroups(ctx) {
		return ctx.Err()
	}
	defer c.leave(ctx)

	sub := s.NewSubscriber(c)
	var wg sync.WaitGroup
	wg.Go(func() { _ = sub.Run(ctx) }) // without hints the scan finds everything
	wg.Go(func() { _ = sub.Subscribe(ctx, s.keys.eventChannel()) })
	wg.Go(func() { c.keep(ctx) })
	for _, w := range c.workers {
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()
	return ctx.Err()
}

// createGroups makes the consumer group in every partition that lacks it, however long that takes. It reports false
// when ctx ended first.
func (c *consumer) createGroups(ctx context.Context) bool {
	todo := c.s.allPartitions()
	for delay := eventRetry; ; delay = min(2*delay, eventRetryMost) {
		var missing []int
		for i, err := range c.s.createEventGroups(ctx, todo, c.group, "$") {
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

// createEventGroups makes a consumer group that starts after an id; it is no error if there is one.
func (s *Store) createEventGroups(ctx context.Context, partitions []int, group, after string) []error {
	cmds := make([]rueidis.Completed, len(partitions))
	for i, p := range partitions {
		cmds[i] = s.client.B().XgroupCreate().Key(s.keys.events(p)).Group(group).Id(after).Mkstream().Build()
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
	tick := time.NewTicker(eventScan)
	defer tick.Stop()
	keys := []string{c.s.keys.consumers(c.group)}
	args := []string{c.token, millis(consumerAlive)}
	for {
		alive, err := c.s.run(ctx, consumersScript, keys, args).AsStrSlice()
		if err == nil { // else as before
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

// share gives each partition to the consumer with the highest hash for it, so that when one comes or goes only its own
// partitions change hands. It returns this consumer's, by worker.
func (c *consumer) share(alive []string) (out [eventWorkers][]int) {
	for p := range c.s.Partitions() {
		best, owner := uint64(0), ""
		for _, token := range alive {
			if w := protocol.Rank(token, p); owner == "" || w > best {
				best, owner = w, token
			}
		}
		if owner == c.token {
			out[p%eventWorkers] = append(out[p%eventWorkers], p)
		}
	}
	return out
}

// leave gives back what this consumer holds, so that the others need not wait for it to run out.
func (c *consumer) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	var calls []call
	for _, w := range c.workers {
		for p := range w.held {
			calls = append(calls, call{[]string{c.s.keys.eventLock(p, c.group)}, []string{c.token}})
		}
	}
	_, _ = c.s.runChunks(ctx, unlockScript, calls, "give partitions back") // else they run out
	_ = c.s.do(ctx, c.s.client.B().Zrem().Key(c.s.keys.consumers(c.group)).Member(c.token).Build()).Error()
}

// Message is a hint: the payload names a partition that has new events.
func (c *consumer) Message(_ string, payload []byte) {
	if p, err := strconv.Atoi(string(payload)); err == nil && p >= 0 {
		c.workers[p%eventWorkers].hint(p)
	}
}

// Lost and Restored are of no matter: the scan finds what hints did not tell.
func (c *consumer) Lost(error) {}
func (c *consumer) Restored()  {}
