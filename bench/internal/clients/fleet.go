package clients

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/ticket"
)

// Plan says which connections to open.
type Plan struct {
	URL      string   // ws://host:port/path
	URLs     []string // instead of URL: connections go to these in turn
	Bare     bool     // no handshake: the other side only accepts and writes
	Keys     string   // signing keys; empty: the server asks for no token
	Unsigned bool     // no token is made before the clock starts: they would take memory, and expire
	Count    int      // connections, each of a client of its own
	V1       int      // of them, how many speak imtier.v1; spread evenly
	Groups   []string // that each client joins through its token
	Joins    [][]int  // further groups of each client, by number; see GroupName
	First    int      // number of the first client; see ClientID
	Numbers  []int32  // the clients' numbers; First and those that follow unless given
	Parallel int      // handshakes at once
	Resumes  bool     // imtier.v1 clients keep their positions, and the next Open continues there
	Acks     bool     // imtier.v1 clients acknowledge what they get; they are in no group
	Messages int64    // how many messages have to arrive before Open is over
	Room     int      // bytes of each socket's receive buffer; 0: as the kernel thinks right

	Limit time.Duration // of what is waited for after the last handshake; 0: 5 minutes
}

// Opened is how opening went.
type Opened struct {
	Elapsed time.Duration // from the first handshake until the last connection takes messages and has what it was to get
	Retries int64         // handshakes that were answered with 503 and tried again
}

// Stats is what a fleet has seen so far.
type Stats struct {
	Open     int64 // connections
	Started  int64 // of them, imtier.v1 connections that have started
	Pings    int64 // pings answered
	Ponged   int64 // connections that have answered a ping
	Messages int64
	Repeated int64  // of them, those that are not newer than what the client had; only of clients that resume
	Stray    int64  // of them, those that were for another client; only of those that hold DirectData
	Acks     int64  // acknowledgements sent
	Unproved int64  // gaps that clients were told of, and streams that could not be resumed for sure
	Errors   int64  // handshakes that were not answered by 101, and connections that broke when they should not
	Failure  string // the first thing that went wrong
}

const (
	// openTimeout bounds the opening of a fleet unless its plan does.
	openTimeout = 5 * time.Minute
	openPoll    = 5 * time.Millisecond
	goneTimeout = time.Minute
	tokenLife   = imhelper.DefaultConnectTTL // as webapi signs them
	madeBefore  = 20_000                     // tokens made before the clock starts
	// A server without time answers 503; a client comes again after retryPause, retryLimit times at most.
	retryPause = 250 * time.Millisecond
	retryLimit = 40
)

// Latencies are how long things took, in the form of measure.Latency.
type Latencies struct {
	Connects []byte // until the answer to the handshake
	Messages []byte // from the time in the message until a client had read it
}

// Fleet is a set of clients.
type Fleet struct {
	loop    *loop
	rec     *recorder
	done    chan struct{}
	retries atomic.Int64
	errors  atomic.Int64 // handshakes that went wrong
	kept    []place      // of clients that resume, by client

	mu       sync.Mutex
	connects *measure.Latency // from the first packet to the answer to the handshake
}

// NewFleet starts the thread that serves the clients; Close ends it.
func NewFleet() (*Fleet, error) {
	rec := newRecorder()
	l, err := newLoop(rec)
	if err != nil {
		return nil, err
	}
	f := &Fleet{loop: l, rec: rec, done: make(chan struct{}), connects: measure.NewLatency()}
	go func() {
		defer close(f.done)
		l.run()
	}()
	return f, nil
}

// Close closes all connections.
func (f *Fleet) Close() {
	f.loop.end()
	<-f.done
}

// ClientID names the i-th client.
func ClientID(i int) string { return fmt.Sprintf("bench-%06d", i) }

// number is that of the i-th client.
func (p *Plan) number(i int) int {
	if p.Numbers != nil {
		return int(p.Numbers[i])
	}
	return p.First + i
}

// GroupName names the i-th group that a plan's Joins mean.
func GroupName(i int) string { return fmt.Sprintf("bench-%d", i) }

// Open opens the planned connections and returns when all of them take messages.
func (f *Fleet) Open(p Plan) (Opened, error) {
	d, err := newDialers(p)
	if err != nil {
		return Opened{}, err
	}
	tokens, err := sign(p)
	if err != nil {
		return Opened{}, err
	}
	if (p.Resumes || p.Acks) && len(f.kept) != p.Count {
		f.kept = make([]place, p.Count)
	}
	f.rec.expect(p.Count)
	had, retried := f.rec.total.Load(), f.retries.Load()
	begin := time.Now()
	if err := f.dialAll(d, p, tokens); err != nil {
		return Opened{}, err
	}
	limit := p.Limit
	if limit == 0 {
		limit = openTimeout
	}
	err = f.until("all connections are open and started, and have their messages", limit, func() bool {
		return f.loop.open.Load() == int64(p.Count) && f.loop.started.Load() == int64(p.V1) &&
			f.rec.total.Load()-had >= p.Messages
	})
	return Opened{Elapsed: time.Since(begin), Retries: f.retries.Load() - retried}, err
}

// Leave closes all connections and returns when that is done. What clients keep stays.
func (f *Fleet) Leave() error {
	f.loop.leave.Store(true)
	f.loop.wake()
	return f.until("all connections are closed", openTimeout, func() bool {
		return !f.loop.leave.Load() && f.loop.open.Load() == 0
	})
}

// Expect says that the server will break its connections, which is no error until Gone has returned.
func (f *Fleet) Expect() { f.loop.mayLose.Store(true) }

// Gone returns when the server has broken all connections.
func (f *Fleet) Gone() error {
	defer f.loop.mayLose.Store(false)
	return f.until("the server's end was noticed on all connections", goneTimeout, func() bool { return f.loop.open.Load() == 0 })
}

// sign returns a function that gives the i-th client's token. Those of the first attempts are made before the clock
// starts, as a backend makes them and no client does, as long as they will live until they are used.
func sign(p Plan) (func(i int) (string, error), error) {
	if p.Keys == "" {
		return func(int) (string, error) { return "", nil }, nil
	}
	keys, err := ticket.ParseKeys(p.Keys)
	if err != nil {
		return nil, err
	}
	fresh := func(i int) (string, error) {
		return keys.Sign(ticket.Claims{
			ClientID: ClientID(p.number(i)), Groups: p.groups(i), ExpiresAt: time.Now().Add(tokenLife - time.Second),
		})
	}
	if len(p.Joins) > 0 && len(p.Joins) != p.Count {
		return nil, fmt.Errorf("groups of %d clients for %d", len(p.Joins), p.Count)
	}
	if p.Unsigned {
		return fresh, nil
	}
	made := make([]string, min(p.Count, madeBefore))
	for i := range made {
		if made[i], err = fresh(i); err != nil {
			return nil, err
		}
	}
	begin := time.Now()
	return func(i int) (string, error) {
		if i >= len(made) || made[i] == "" || time.Since(begin) > tokenLife/2 {
			return fresh(i)
		}
		t := made[i]
		made[i] = "" // works once
		return t, nil
	}, nil
}

// groups are those of the i-th client.
func (p Plan) groups(i int) []string {
	if len(p.Joins) == 0 {
		return p.Groups
	}
	out := slices.Clone(p.Groups)
	for _, g := range p.Joins[i] {
		out = append(out, GroupName(g))
	}
	return out
}

// dialAll has the loop open connections, p.Parallel at a time. The first error ends it.
func (f *Fleet) dialAll(d dialers, p Plan, token func(int) (string, error)) error {
	o := &opening{
		plan: p, dialers: d, token: token, kept: f.kept, done: make(chan error, 1),
		connected: f.connected, refused: func() { f.errors.Add(1) }, retried: func() { f.retries.Add(1) },
	}
	if !p.Resumes && !p.Acks {
		o.kept = nil
	}
	f.loop.give(o)
	return <-o.done
}

// spread chooses k of n evenly.
func spread(i, k, n int) bool { return (i+1)*k/n > i*k/n }

func (f *Fleet) connected(after time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.connects.Record(after)
}

// Latencies returns how long connecting and messages took since the last call, each as measure.Latency writes it.
func (f *Fleet) Latencies() (l Latencies, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.Connects, err = f.connects.MarshalBinary(); err != nil {
		return l, err
	}
	f.connects.Reset()
	l.Messages, err = f.rec.takeLatency()
	return l, err
}

// Stall has every so many-th connection, n in all, stop to read for good.
func (f *Fleet) Stall(n int) error { return f.loop.stall(n) }

// Stats returns what has happened so far.
func (f *Fleet) Stats() Stats {
	s := Stats{
		Open: f.loop.open.Load(), Started: f.loop.started.Load(), Pings: f.loop.pings.Load(),
		Ponged: f.loop.ponged.Load(), Messages: f.rec.total.Load(),
		Repeated: f.loop.repeated.Load(), Stray: f.rec.stray.Load(), Unproved: f.loop.unproved.Load(), Acks: f.loop.acked.Load(),
		Errors: f.errors.Load() + f.loop.closed.Load(),
	}
	if why := f.loop.failure.Load(); why != nil {
		s.Failure = *why
	}
	return s
}

// until polls cond; a connection that breaks ends it.
func (f *Fleet) until(what string, limit time.Duration, cond func() bool) error {
	tick := time.NewTicker(openPoll)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		if why := f.loop.failure.Load(); why != nil {
			return errors.New(*why)
		}
		if cond() {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("not within %v: %s", limit, what)
		}
	}
}

// arguments reads the arguments of an operation.
func arguments[T any](raw json.RawMessage) (T, error) {
	var v T
	err := json.Unmarshal(raw, &v)
	return v, err
}
