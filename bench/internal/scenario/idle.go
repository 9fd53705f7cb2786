package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
	"github.com/imtier/imtier/pkg/store"
)

// Idle measures what a connection costs that does nothing.
type Idle struct {
	Common
	N            int
	V1           int // percent that speak imtier.v1
	PingInterval time.Duration
	MaxBytes     int64 // per connection
	Quiet        time.Duration
	Profiles     string // folder for profiles of the full server; empty: none
}

// Register puts the flags into fs.
func (o *Idle) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.N, "n", 18000, "connections; one process may have 20,000 descriptors where that is the limit")
	fs.IntVar(&o.V1, "v1", 50, "percent of the connections that speak imtier.v1; the others are raw")
	fs.DurationVar(&o.PingInterval, "ping-interval", 10*time.Second, "the imserver's IM_PING_INTERVAL")
	fs.Int64Var(&o.MaxBytes, "max-bytes", 7500, "most resident bytes per connection")
	fs.DurationVar(&o.Quiet, "quiet", 5*time.Second, "how long memory must be still before it counts")
	fs.StringVar(&o.Profiles, "profiles", "", "folder in which to store heap and goroutine profiles of the full server")
	return o.Common.Register(fs)
}

// Check tells what is wrong with the flags.
func (o *Idle) Check() error {
	return errors.Join(o.Common.Check(), atLeast("n", o.N, 1), percent("v1", o.V1),
		lasts("ping-interval", o.PingInterval), atLeast("quiet", o.Quiet, 0))
}

const (
	// settleLimit is how long memory may take to become still, as a multiple of how long it must be.
	settleLimit = 9
	// otherGoroutines is how many goroutines the server itself may add, for Redis and /state.
	otherGoroutines = 32
	onlinePage      = 1000
)

// footprint is what the server costs at a moment.
type footprint struct {
	rss   int64
	state procs.State
}

// Run measures.
func (o *Idle) Run(ctx context.Context, p *report.Progress) (*report.Result, error) {
	res := report.New("idle", fmt.Sprintf("%d connections that do nothing on one imserver, %d%% of them imtier.v1", o.N, o.V1))
	if err := errors.Join(checkFiles(o.N), profileFolder(o.Profiles)); err != nil {
		return res, err
	}
	s, err := newStage(ctx, o.Common, p)
	if err != nil {
		return res, err
	}
	defer s.close()
	srv, err := s.imserver(ctx, "IM_PING_INTERVAL="+o.PingInterval.String())
	if err != nil {
		return res, err
	}
	st, err := s.store(ctx)
	if err != nil {
		return res, err
	}
	start, err := look(ctx, srv, o.Quiet/5)
	if err != nil {
		return res, err
	}
	empty, err := srv.Heap(ctx)
	if err != nil {
		return res, err
	}
	redisEmpty, redisKnown := procs.ReadRedisInfo(s.redis)
	fleet, err := s.fleet(ctx)
	if err != nil {
		return res, err
	}
	p.Say("idle: opening %d connections …", o.N)
	opened, err := fleet.Open(clients.Plan{
		URL: srv.URL, Keys: s.keys, Count: o.N, V1: o.N * o.V1 / 100, Parallel: o.Parallel,
	})
	if err != nil {
		return res, err
	}
	connected, err := look(ctx, srv, o.Quiet/5)
	if err != nil {
		return res, err
	}
	p.Say("idle: open after %.1f s; waiting until each has answered a ping and memory is still …", opened.Elapsed.Seconds())
	if err := o.awaitPongs(ctx, fleet); err != nil {
		return res, err
	}
	full, err := look(ctx, srv, o.Quiet)
	if err != nil {
		return res, err
	}
	online, err := countOnline(ctx, st)
	if err != nil {
		return res, err
	}
	o.report(res, opened, online, start, connected, full)
	if redisFull, err := procs.ReadRedisInfo(s.redis); err == nil && redisKnown == nil { // else it is somebody's, with a password
		res.Add("memory of Redis per connection", float64(redisFull.Memory-redisEmpty.Memory)/float64(o.N), "bytes", "sessions, presence, used tokens, events")
	}
	if err := o.divide(ctx, res, srv, empty); err != nil {
		return res, err
	}
	if pss, err := measure.PSS(srv.PID()); err == nil { // not everybody may read it
		res.Add("PSS after a ping round", float64(pss)/1e6, "MB", "")
	}
	if rss, err := measure.RSS(fleet.W.PID()); err == nil { // only told
		res.Add("resident memory of the clients, per connection", float64(rss)/float64(o.N), "bytes", "not counted above")
	}
	return res, o.profile(ctx, srv)
}

func look(ctx context.Context, srv *procs.Server, quiet time.Duration) (footprint, error) {
	rss, err := measure.SettledRSS(ctx, srv.PID(), quiet, settleLimit*quiet)
	if err != nil {
		return footprint{}, err
	}
	st, err := srv.State(ctx)
	return footprint{rss, st}, err
}

// awaitPongs waits until every connection has been pinged and has answered.
func (o *Idle) awaitPongs(ctx context.Context, fleet clients.Remote) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(3*o.PingInterval + 15*time.Second)
	for {
		s, err := fleet.Stats()
		switch {
		case err != nil:
			return err
		case s.Failure != "":
			return fmt.Errorf("a client failed: %s", s.Failure)
		case s.Ponged >= int64(o.N):
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit:
			return fmt.Errorf("%d of %d connections were pinged", s.Ponged, o.N)
		case <-tick.C:
		}
	}
}

// countOnline reads from Redis who is online.
func countOnline(ctx context.Context, st *store.Store) (n int, err error) {
	for cursor := ""; ; {
		ids, next, err := st.OnlineClients(ctx, cursor, onlinePage)
		if err != nil {
			return 0, fmt.Errorf("read who is online: %w", err)
		}
		if n += len(ids); next == "" {
			return n, nil
		}
		cursor = next
	}
}

func (o *Idle) profile(ctx context.Context, srv *procs.Server) error {
	if o.Profiles == "" {
		return nil
	}
	for name, file := range map[string]string{
		"heap?gc=1": "heap.pprof", "goroutine": "goroutine.pprof", "heap?debug=1": "heap.txt", // the text ends with MemStats
	} {
		if err := srv.Profile(ctx, name, filepath.Join(o.Profiles, file)); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
	}
	return nil
}

// report adds the numbers.
func (o *Idle) report(res *report.Result, opened clients.Opened, online int, start, connected, full footprint) {
	n := float64(o.N)
	each := func(f footprint) float64 { return float64(f.rss-start.rss) / n }
	res.Check("resident memory per connection", each(full), "bytes", report.AtMost(float64(o.MaxBytes)), "after a ping round")
	res.Add("the same when the last has just connected", each(connected), "bytes", "")
	res.Add("resident memory at the start", float64(start.rss)/1e6, "MB", "")
	res.Add("resident memory after a ping round", float64(full.rss)/1e6, "MB", "")
	more := full.state.Goroutines - start.state.Goroutines
	res.Check("goroutines more than at the start", float64(more), "", report.AtMost(otherGoroutines), "a silent connection has none")
	res.Check("connections lost or too many", math.Abs(n-float64(full.state.Connections)), "", report.AtMost(0), "")
	checkOnline(res, "", o.N, online)
	res.Add("connects", n/opened.Elapsed.Seconds(), "/s", retried(opened))
}

// divide adds how the server's memory is divided. It collects garbage, so it comes last.
func (o *Idle) divide(ctx context.Context, res *report.Result, srv *procs.Server, empty procs.Heap) error {
	full, err := srv.Heap(ctx)
	if err != nil {
		return err
	}
	n := float64(o.N)
	res.Add("live objects per connection", float64(full.Live-empty.Live)/n, "bytes", "after a collection, as all below")
	res.Add("room in pages that hold objects, per connection", float64(full.Spans-full.Live-empty.Spans+empty.Live)/n, "bytes", "")
	res.Add("pages without objects, per connection", float64(full.Kept-empty.Kept)/n, "bytes", "not given back yet")
	res.Add("stacks per connection", float64(full.Stacks-empty.Stacks)/n, "bytes", "")
	res.Add("the runtime's tables per connection", float64(full.Tables-empty.Tables)/n, "bytes", "")
	return nil
}
