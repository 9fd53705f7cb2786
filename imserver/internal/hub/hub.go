package hub

import (
	"context"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// Log is what the hub reads to repair what is missing.
type Log interface {
	// After returns at most limit messages after a position, oldest first.
	After(ctx context.Context, st protocol.Stream, after protocol.Position, limit int) ([]Entry, error)
	// Tails returns the last position and the fence of each stream.
	Tails(ctx context.Context, sts []protocol.Stream) ([]Tail, error)
	// Since does both in one go: the tail of each stream, then the messages after a position that were there, and perhaps
	// newer ones.
	Since(ctx context.Context, reads []Read) ([]Since, error)
}

// Read says what of a stream to read.
type Read struct {
	Stream protocol.Stream
	After  protocol.Position
	Limit  int // most messages; 0: the tail only
}

// Since is what a Read found.
type Since struct {
	Tail
	Entries []Entry // as After returns them
}

// Entry is a message in the log.
type Entry struct {
	Pos protocol.Position
	Msg *Message
}

// Tail is the end of a stream in the log. Positions whose epoch is below Fence were written in an earlier life
// of Redis: what followed them may be lost.
type Tail struct {
	Pos   protocol.Position
	Fence uint64
}

// Options of a hub; all but Receipts and Requests are required.
type Options struct {
	Log    Log
	Final  func(*Conn)                                        // a client is told to stay away: its session is over
	Closed func(*Conn, protocol.Reason)                       // a connection is over and detached
	Acked  func(*Conn, map[protocol.Stream]protocol.Position) // a client acknowledged
	Lost   func()                                             // messages were dropped: compare all topics

	// Heard returns nil when everything that Redis published before the call has been announced here, by Deliver and
	// Leaving. It fails while the subscription is interrupted.
	Heard func(context.Context) error

	Receipts Receipts // zero: nobody asks for any
	Requests Requests // zero: nobody may send any

	Input   Input       // what a peer may send
	Limited func(Limit) // a peer is ended because it sent more

	Keeps        time.Duration // how long the log has a message at least
	PingInterval time.Duration // how often a silent peer is pinged
	PongTimeout  time.Duration // how long it may stay silent after that
	StartTimeout time.Duration // how long an imtier.v1 peer may take to start
}

// Hub holds the connections of one node.
type Hub struct {
	opts     Options
	seed     maphash.Seed
	shards   []*shard
	aside    aside
	catch    *catcher
	counters Counters
	unsent   unsent
	held     atomic.Bool // see HoldGroups
	blind    blind

	forgotten atomic.Int64 // topics

	roster roster

	mu      sync.Mutex
	clients map[string][]*Conn // by clientId
	empty   chan struct{}      // closed when draining and no connection is left
	drained bool               // what is opened from now on is ended at once
	ending  int                // connections off the roster whose end has not been reported yet
}

// Counters counts what happened since the start.
type Counters struct {
	Delivered atomic.Int64 // frames handed to sockets from live fan-out
	Replayed  atomic.Int64 // frames handed to sockets from the log
	Behind    atomic.Int64 // times a follow fell behind because its socket was full
	Repairs   atomic.Int64 // times a topic was read from the log
	Gaps      atomic.Int64 // gaps told to clients
	Dropped   atomic.Int64 // times arrivals were dropped for want of memory
}

// New makes a hub; Run makes it work.
func New(o Options) *Hub {
	h := &Hub{
		opts: o, seed: maphash.MakeSeed(),
		clients: make(map[string][]*Conn), empty: make(chan struct{}),
	}
	h.catch = newCatcher(h)
	for range max(4, 2*runtime.GOMAXPROCS(0)) {
		h.shards = append(h.shards, &shard{hub: h, wake: make(chan struct{}, 1), topics: make(map[protocol.Stream]*topic)})
	}
	return h
}

// Run fans out, catches up and sweeps until ctx ends; then it waits for its goroutines. Connections are not
// closed: see Drain.
func (h *Hub) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range h.shards {
		wg.Go(func() { s.loop(ctx) })
	}
	wg.Go(func() { h.catch.run(ctx) })
	wg.Go(func() { h.sweep(ctx) })
	wg.Wait()
}

// Counters returns the counters; they may be read at any time.
func (h *Hub) Counters() *Counters { return &h.counters }

func (h *Hub) shard(st protocol.Stream) *shard { return h.shards[h.place(st)] }

// place is which of the shards a stream's is.
func (h *Hub) place(st protocol.Stream) int {
	return int(maphash.Comparable(h.seed, st) % uint64(len(h.shards)))
}

// busy reports whether there is more to fan out than what is done at once.
func (h *Hub) busy() bool {
	return slices.ContainsFunc(h.shards, func(s *shard) bool { return s.busy.Load() })
}

// Register adds a connection that has no socket yet. Exactly one of Open or Abandon must follow.
func (h *Hub) Register(i Info) *Conn {
	if i.Admission == nil {
		i.Admission = new(Admission)
	}
	c := &Conn{Info: i, hub: h}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.roster.add(c)
	h.clients[c.ClientID] = append(h.clients[c.ClientID], c)
	return c
}

// remove takes a connection out of everything.
func (h *Hub) remove(c *Conn, r protocol.Reason) {
	c.mu.Lock()
	c.gone = true
	follows := c.follows
	c.follows = nil
	c.mu.Unlock()
	for _, f := range follows {
		h.detach(f)
	}
	// Out of the list first: who lists connections to register them again must not find one that was signed off.
	h.forget(c)
	h.opts.Closed(c, r)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ending--
	h.checkEmpty()
}

func (h *Hub) forget(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ending++
	h.roster.remove(c)
	rest := h.clients[c.ClientID]
	for i, other := range rest {
		if other == c {
			rest[i] = rest[len(rest)-1]
			rest[len(rest)-1] = nil
			rest = rest[:len(rest)-1]
			break
		}
	}
	if len(rest) == 0 {
		delete(h.clients, c.ClientID)
	} else {
		h.clients[c.ClientID] = rest
	}
}

// late reports whether a connection that gets its socket now is ended at once.
func (h *Hub) late() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.drained
}

// ConnsOf returns the connections of a client on this node.
func (h *Hub) ConnsOf(clientID string) []*Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*Conn(nil), h.clients[clientID]...)
}

// Conns returns all connections of this node.
func (h *Hub) Conns() []*Conn { return h.roster.all() }

// Clients returns the clients that have a connection on this node.
func (h *Hub) Clients() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]string, 0, len(h.clients))
	for id := range h.clients {
		all = append(all, id)
	}
	return all
}

// Len returns the number of connections.
func (h *Hub) Len() int { return h.roster.len() }
