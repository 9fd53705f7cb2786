package hub

import (
	"context"
	"sync"
	"time"
)

const (
	// catchers is how many reads of the log are under way at once on a node, so that a storm of reconnects
	// cannot take Redis down.
	catchers = 16
	// retryDelay is the pause after a read that failed: Redis is away, for everybody.
	retryDelay = 500 * time.Millisecond
	// roomDelay is the pause when what was read before has not been fanned out yet.
	roomDelay = 20 * time.Millisecond
)

// catcher is the queue of those that have to read the log: connections, and topics. Each is in it at most once,
// takes one batch at its turn, and goes to the end again: fair between them and bounded by their number.
type catcher struct {
	hub *Hub

	mu     sync.Mutex
	cond   *sync.Cond
	tasks  []task
	closed bool
}

// task is a connection or a topic.
type task struct {
	conn  *Conn
	topic *topic
	shard *shard
}

func newCatcher(h *Hub) *catcher {
	c := &catcher{hub: h}
	c.cond = sync.NewCond(&c.mu)
	return c
}

// run works until ctx ends.
func (c *catcher) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		c.closed = true
		c.mu.Unlock()
		c.cond.Broadcast()
	})
	defer stop()
	var wg sync.WaitGroup
	for range catchers {
		wg.Go(func() { c.work(ctx) })
	}
	wg.Wait()
}

func (c *catcher) work(ctx context.Context) {
	for {
		t, ok := c.next()
		if !ok {
			return
		}
		again, delay := t.do(ctx, c.hub)
		switch {
		case !again:
		case delay > 0:
			time.AfterFunc(delay, func() { c.add(t) })
		default:
			c.add(t)
		}
	}
}

func (c *catcher) next() (task, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.tasks) == 0 && !c.closed {
		c.cond.Wait()
	}
	if c.closed {
		return task{}, false
	}
	t := c.tasks[0]
	c.tasks[0] = task{}
	c.tasks = c.tasks[1:]
	return t, true
}

func (c *catcher) add(t task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.tasks = append(c.tasks, t)
		c.cond.Signal()
	}
}

// A connection is worked on by one catcher at a time: two would send the same batch twice.
const (
	idle    int32 = iota
	queued        // in tasks, or waiting for its delay
	working       // a catcher has it
	wanted        // a catcher has it, and it is to be queued again
)

// conn queues a connection that has to start or to catch up.
func (c *catcher) conn(k *Conn) {
	for {
		switch k.catching.Load() {
		case idle:
			if k.catching.CompareAndSwap(idle, queued) {
				c.add(task{conn: k})
				return
			}
		case working:
			if k.catching.CompareAndSwap(working, wanted) {
				return
			}
		default:
			return
		}
	}
}

// repair queues a topic. The caller holds the shard's mu.
func (c *catcher) repair(t *topic, s *shard) {
	if !t.repairing {
		t.repairing = true
		c.hub.counters.Repairs.Add(1)
		c.add(task{topic: t, shard: s})
	}
}

// waiting returns the length of the queue.
func (c *catcher) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.tasks)
}

// do takes one turn. It reports whether another one is needed, and how much later.
func (t task) do(ctx context.Context, h *Hub) (again bool, delay time.Duration) {
	if t.topic != nil {
		return h.repairTopic(ctx, t.shard, t.topic)
	}
	t.conn.catching.Store(working)
	again, delay = h.catchUp(ctx, t.conn)
	if again {
		t.conn.catching.Store(queued)
		return true, delay
	}
	if t.conn.catching.CompareAndSwap(working, idle) {
		return false, 0
	}
	t.conn.catching.Store(queued)
	return true, 0
}
