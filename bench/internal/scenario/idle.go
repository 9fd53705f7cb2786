package scenario

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
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
	fs.Int64Var(&o.MaxBytes, "max-bytes", 9216, "limit of resident bytes per connection")
	fs.DurationVar(&o.Quiet, "quiet", 5*time.Second, "how long memory must be still before it counts")
	fs.StringVar(&o.Profiles, "profiles", "", "folder in which to store heap and goroutine profiles of the full server")
	return o.Common.Register(fs)
}

const (
	// settleLimit is how long memory may take to become still, as a multiple of how long it must be.
	settleLimit = 9
	// otherGoroutines is how many goroutines the server itself may add under load, for Redis and /state.
	otherGoroutines = 32
	onlinePage      = 1000
)

// footprint is what the server costs at a moment.
type footprint struct {
	rss   int64
	state procs.State
}

// Run measures and prints.
func (o *Idle) Run(ctx context.Context, out io.Writer) error {
	s, err := newStage(ctx, o.Common, out)
	if err != nil {
		return err
	}
	defer s.close()
	srv, err := s.imserver(ctx, "IM_PING_INTERVAL="+o.PingInterval.String())
	if err != nil {
		return err
	}
	st, err := s.store(ctx)
	if err != nil {
		return err
	}
	start, err := look(ctx, srv, o.Quiet/5)
	if err != nil {
		return err
	}
	fleet, err := s.fleet(ctx)
	if err != nil {
		return err
	}
	s.logf("idle: opening %d connections, %d%% of them imtier.v1 …", o.N, o.V1)
	opened, err := fleet.Open(clients.Plan{
		URL: srv.URL, Keys: s.keys, Count: o.N, V1: o.N * o.V1 / 100, Parallel: o.Parallel,
	})
	if err != nil {
		return err
	}
	connected, err := look(ctx, srv, o.Quiet/5)
	if err != nil {
		return err
	}
	s.logf("idle: open after %.1f s; waiting until each has answered a ping and memory is still …", opened.Elapsed.Seconds())
	if err := o.awaitPongs(ctx, fleet); err != nil {
		return err
	}
	full, err := look(ctx, srv, o.Quiet)
	if err != nil {
		return err
	}
	online, err := countOnline(ctx, st)
	if err != nil {
		return err
	}
	if err := o.profile(ctx, srv); err != nil {
		return err
	}
	return o.report(out, srv, opened, online, start, connected, full)
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

// retried tells of handshakes that had to be repeated, if any.
func retried(o clients.Opened) string {
	if o.Retries == 0 {
		return ""
	}
	return fmt.Sprintf("%d answered 503 and tried again", o.Retries)
}

// report prints the table and compares with the limits.
func (o *Idle) report(out io.Writer, srv *procs.Server, opened clients.Opened, online int, start, connected, full footprint) error {
	n := int64(o.N)
	each := (full.rss - start.rss) / n
	goroutines := full.state.Goroutines - start.state.Goroutines
	t := measure.NewTable(out, "idle connections on one imserver")
	t.Row("connections", full.state.Connections, fmt.Sprintf("%d%% imtier.v1", o.V1))
	t.Row("connects", fmt.Sprintf("%.0f/s", float64(n)/opened.Elapsed.Seconds()), retried(opened))
	t.Row("online in Redis", online)
	t.Row("RSS at the start", measure.MB(start.rss))
	t.Row("RSS when open", measure.MB(connected.rss), fmt.Sprintf("%d bytes per connection", (connected.rss-start.rss)/n))
	t.Row("RSS after a ping round", measure.MB(full.rss), fmt.Sprintf("%d bytes per connection", each), fmt.Sprintf("limit %d", o.MaxBytes))
	if pss, err := measure.PSS(srv.PID()); err == nil { // not everybody may read it
		t.Row("PSS after a ping round", measure.MB(pss))
	}
	t.Row("heap in use", measure.MB(int64(full.state.HeapBytes)))
	t.Row("goroutines", full.state.Goroutines, fmt.Sprintf("%.3f per connection", float64(goroutines)/float64(n)), "limit 1")
	if err := t.Flush(); err != nil {
		return err
	}
	switch {
	case full.state.Connections != o.N:
		return fmt.Errorf("%d connections are left of %d", full.state.Connections, o.N)
	case online != o.N:
		return fmt.Errorf("%d clients are online in Redis, %d are connected", online, o.N)
	case each > o.MaxBytes:
		return fmt.Errorf("%d bytes per connection: %w of %d", each, ErrOver, o.MaxBytes)
	case goroutines > o.N+otherGoroutines:
		return fmt.Errorf("%d goroutines for %d connections: %w of one each", goroutines, o.N, ErrOver)
	}
	return nil
}
