package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/load"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// Slow measures what clients that stop reading do to the others, and to the server's memory: the same load twice, first
// when all read, then when some have stopped.
type Slow struct {
	Common
	N        int
	Stuck    int
	V1       int // percent
	Rate     float64
	Flood    float64
	Duration time.Duration
	OutboxKB int
	MaxRatio float64
}

// Register puts the flags into fs.
func (o *Slow) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.N, "n", 2000, "connections, all members of one group")
	fs.IntVar(&o.Stuck, "stuck", 50, "of them, how many stop reading")
	fs.IntVar(&o.V1, "v1", 50, "percent of the connections that speak imtier.v1")
	fs.Float64Var(&o.Rate, "rate", 10, "messages a second to the group")
	fs.Float64Var(&o.Flood, "flood", 12, "messages of 57 kB a second to each of those that will stop, both times")
	fs.DurationVar(&o.Duration, "duration", 10*time.Second, "how long each of the two times")
	fs.IntVar(&o.OutboxKB, "outbox", 256, "the imserver's IM_OUTBOX_SIZE in KiB")
	fs.Float64Var(&o.MaxRatio, "max-ratio", 2, "most p99 of the others, as a multiple of what it is when all read")
	return o.Common.Register(fs)
}

// Check tells what is wrong with the flags.
func (o *Slow) Check() error {
	err := errors.Join(o.Common.Check(), atLeast("n", o.N, 2), among("stuck", o.Stuck, 1, o.N-1), percent("v1", o.V1),
		among("duration", o.Duration, time.Millisecond, mostSlow), atLeast("outbox", o.OutboxKB, 1))
	if err != nil {
		return err
	}
	if o.waiting() < 1 {
		return fmt.Errorf("-v1 is %d percent: none of %d -stuck, and raw ones are closed", o.V1, o.Stuck)
	}
	return errors.Join(paces("rate", o.Rate, o.Duration, 1), paces("flood", o.Flood, o.Duration, 1))
}

const (
	// floodSize fills a socket's buffers in a few seconds; webapi's default limit is 64 KiB.
	floodSize = 57_000
	// partial is how much more memory than bytes that are kept may be taken for one: a message of which a part was written is
	// in memory as a whole. Messages themselves hardly waste any: they are a little less than seven of the allocator's pages.
	partial = 64 << 10
	// mostSlow is as long as who does not read at all is surely not given up.
	mostSlow = 20 * time.Second
	// closedLimit is how long raw clients may take to be gone.
	closedLimit = 15 * time.Second
	// stuckRoom is the receive buffer of those that will stop: the kernel would give them megabytes.
	stuckRoom   = 64 << 10
	slowSenders = 8 // publications under way
	rssPoll     = 100 * time.Millisecond
)

// Run measures.
func (o *Slow) Run(ctx context.Context, p *report.Progress) (*report.Result, error) {
	res := report.New("slow", fmt.Sprintf("%d of %d clients of a group stop reading; twice %.0f messages a second for %v",
		o.Stuck, o.N, o.Rate, o.Duration))
	s, err := newStage(ctx, o.Common, p)
	if err != nil {
		return res, err
	}
	defer s.close()
	defer s.tell(res)
	st, err := s.store(ctx)
	if err != nil {
		return res, err
	}
	srv, err := s.imserver(ctx, fmt.Sprintf("IM_OUTBOX_SIZE=%dKiB", o.OutboxKB))
	if err != nil {
		return res, err
	}
	readers, stuck, err := o.open(ctx, s, srv)
	if err != nil {
		return res, err
	}
	p.Say("slow: all read …")
	without, err := o.phase(ctx, st, srv, readers)
	if err != nil {
		return res, err
	}
	empty, err := srv.Heap(ctx)
	if err != nil {
		return res, err
	}
	if err := stuck.Stall(o.Stuck); err != nil {
		return res, err
	}
	p.Say("slow: %d do not read …", o.Stuck)
	with, err := o.phase(ctx, st, srv, readers)
	if err != nil {
		return res, err
	}
	state, err := o.awaitClosed(ctx, srv)
	if err != nil {
		return res, err
	}
	full, err := srv.Heap(ctx)
	if err != nil {
		return res, err
	}
	res.Check("p99 of the others, times what it was", p99(with.took)/p99(without.took), "",
		report.AtMost(o.MaxRatio), "")
	res.Add("imserver's resident memory when some do not read, at most", float64(with.peak)/1e6, "MB", fmt.Sprintf("%.1f MB when all read; with garbage", float64(without.peak)/1e6))
	checkCounts(res, "messages of the others lost or too many", append(without.got, with.got...), append(without.want, with.want...))
	res.Add("kernel memory for one that does not read", float64(with.kernel-without.kernel)/float64(o.Stuck), "bytes", "both ends")
	res.Took("all read", without.took)
	res.Took("some do not, the others", with.took)
	o.kept(res, state, full.Live-empty.Live)
	return res, nil
}

// waiting is how many of those that do not read are still connected in the end: those of imtier.v1.
func (o *Slow) waiting() int { return o.Stuck * o.V1 / 100 }

// awaitClosed waits until those that do not read and are raw have been closed, which they are when their outbox is full.
// Until they are gone it is still in memory.
func (o *Slow) awaitClosed(ctx context.Context, srv *procs.Server) (state procs.State, err error) {
	for end := time.Now().Add(closedLimit); ; {
		state, err = srv.State(ctx)
		left := state.Connections - (o.N - o.Stuck)
		switch {
		case err != nil || left == o.waiting() && state.QueueBytes > 0:
			return state, err
		case time.Now().After(end):
			return state, fmt.Errorf("%d of those that do not read are left, for whom %d bytes are kept, not just the %d of imtier.v1: "+
				"if the kernel took everything, raise -flood or -duration", left, state.QueueBytes, o.waiting())
		}
		if err := pause(ctx, roundPause); err != nil {
			return state, err
		}
	}
}

// kept adds what the imserver keeps for each that does not read: by its own account, and by how many more bytes of live
// objects it has than when all read.
func (o *Slow) kept(res *report.Result, state procs.State, more int64) {
	n, limit := float64(o.waiting()), float64(o.OutboxKB)*1024
	res.Check("kept for one that does not read", float64(state.QueueBytes)/n, "bytes", report.AtMost(limit),
		"in the end; the limit is IM_OUTBOX_SIZE")
	res.Check("memory for one that does not read", float64(more)/n, "bytes", report.AtMost(limit+partial),
		"imserver's live heap after a collection, less what it was when all read; each is sent messages of its own")
	res.Add("raw clients closed as too slow", float64(o.Stuck-o.waiting()), "", fmt.Sprintf("the %d of imtier.v1 stay and catch up later", o.waiting()))
}

// open connects the readers, and those that will stop in a fleet of their own.
func (o *Slow) open(ctx context.Context, s *stage, srv *procs.Server) (readers, stuck clients.Remote, err error) {
	if readers, err = s.fleet(ctx); err != nil {
		return readers, stuck, err
	}
	if stuck, err = s.fleet(ctx); err != nil {
		return readers, stuck, err
	}
	plan := func(count, first int, groups ...string) clients.Plan {
		return clients.Plan{
			URL: srv.URL, Keys: s.keys, Count: count, V1: count * o.V1 / 100, First: first, Groups: groups, Parallel: o.Parallel,
		}
	}
	s.p.Say("slow: opening %d connections …", o.N)
	if _, err = readers.Open(plan(o.N-o.Stuck, 0, fanoutGroup)); err != nil {
		return readers, stuck, err
	}
	p := plan(o.Stuck, o.N, fanoutGroup)
	p.Room = stuckRoom
	_, err = stuck.Open(p)
	return readers, stuck, err
}

// phase is what one of the two times showed.
type phase struct {
	took   *measure.Latency // of the readers
	peak   int64            // most resident memory of the imserver, bytes
	kernel int64            // bytes in the end
	got    []int64          // messages of each reader
	want   []int64          // that were sent to it
}

// phase publishes to all, and to those that will stop, for a while.
func (o *Slow) phase(ctx context.Context, st *store.Store, srv *procs.Server, readers clients.Remote) (*phase, error) {
	crowd := clients.Crowd{readers}
	before, err := readers.Counts()
	if err != nil {
		return nil, err
	}
	if _, _, err := readers.Took(); err != nil { // forgets
		return nil, err
	}
	watch, end := context.WithCancel(ctx)
	defer end()
	var (
		ph          = &phase{}
		wg          sync.WaitGroup
		rssErr, bad error
		flooded     error
		done        load.Result
	)
	wg.Go(func() { ph.peak, rssErr = peakRSS(watch, srv.PID()) })
	var publishers sync.WaitGroup
	publishers.Go(func() { done, bad = o.toGroup(ctx, st) })
	publishers.Go(func() { flooded = o.flood(ctx, st) })
	publishers.Wait()
	ph.want = alike(o.N-o.Stuck, done.Done)
	if err := errors.Join(bad, flooded, awaitMessages(ctx, crowd, sum(before)+sum(ph.want))); err != nil {
		return nil, err
	}
	end()
	wg.Wait()
	if rssErr != nil {
		return nil, rssErr
	}
	if ph.kernel, err = measure.SocketBytes(); err != nil {
		return nil, err
	}
	if ph.got, err = counted(ctx, crowd); err != nil {
		return nil, err
	}
	for i := range ph.got {
		ph.got[i] -= before[i]
	}
	_, ph.took, err = readers.Took()
	return ph, err
}

// toGroup sends messages to the group.
func (o *Slow) toGroup(ctx context.Context, st *store.Store) (load.Result, error) {
	return o.publish(ctx, o.Rate, sendSize, func(ctx context.Context, _ int64, e *protocol.Envelope) error {
		_, err := st.PublishGroup(ctx, e, fanoutGroup, false)
		return err
	})
}

// flood sends large messages to those that will stop, to each its own: what is kept for one is then kept for nobody else.
// They are not in the log, which would hold hundreds of megabytes of them.
func (o *Slow) flood(ctx context.Context, st *store.Store) error {
	_, err := o.publish(ctx, o.Flood*float64(o.Stuck), floodSize, func(ctx context.Context, i int64, e *protocol.Envelope) error {
		_, err := st.PublishEphemeral(ctx, e, protocol.InboxOf(clients.ClientID(o.N+int(i)%o.Stuck)))
		return err
	})
	return err
}

// publish sends messages at a rate.
func (o *Slow) publish(ctx context.Context, rate float64, size int, send func(context.Context, int64, *protocol.Envelope) error) (load.Result, error) {
	f := load.Func(func(ctx context.Context, i int64, at time.Time) error {
		data := clients.Data(int(i), size)
		clients.Stamp(data, at)
		return send(ctx, i, envelope(int(i), data))
	})
	return load.Run(ctx, load.Plan{Open: f.Open, Senders: slowSenders, Duration: o.Duration, Rate: rate})
}

// peakRSS watches a process until ctx ends.
func peakRSS(ctx context.Context, pid int) (most int64, err error) {
	tick := time.NewTicker(rssPoll)
	defer tick.Stop()
	for {
		now, err := measure.RSS(pid)
		if err != nil {
			return 0, err
		}
		most = max(most, now)
		select {
		case <-ctx.Done():
			return most, nil
		case <-tick.C:
		}
	}
}
