package scenario

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/measure"
)

// connectProfile is how long a profile of the server lasts while clients come in.
const connectProfile = 5 * time.Second

// Connect measures how fast clients come in, each with a signed URL and registered in Redis.
type Connect struct {
	Common
	N       int
	V1      int // percent
	Groups  int
	Profile string // file for a CPU profile of the server; empty: none
}

// Register puts the flags into fs.
func (o *Connect) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.N, "n", 10000, "connections")
	fs.IntVar(&o.V1, "v1", 50, "percent of the connections that speak imtier.v1, whose start is waited for")
	fs.IntVar(&o.Groups, "groups", 0, "groups that each client joins")
	fs.StringVar(&o.Profile, "profile", "", "file in which to store a CPU profile of the server while they come in")
	return o.Common.Register(fs)
}

// Run measures and prints.
func (o *Connect) Run(ctx context.Context, out io.Writer) error {
	s, err := newStage(ctx, o.Common, out)
	if err != nil {
		return err
	}
	defer s.close()
	srv, err := s.imserver(ctx)
	if err != nil {
		return err
	}
	st, err := s.store(ctx)
	if err != nil {
		return err
	}
	fleet, err := s.fleet(ctx)
	if err != nil {
		return err
	}
	groups := make([]string, o.Groups)
	for i := range groups {
		groups[i] = fmt.Sprintf("bench-%d", i)
	}
	cpu := newAccount()
	if s.ownRedis != nil {
		cpu.add("redis", s.ownRedis.PID())
	}
	cpu.add("imserver", srv.PID())
	cpu.add("clients", fleet.W.PID())
	if err := cpu.begin(); err != nil {
		return err
	}
	profiled := profile(ctx, srv, o.Profile, connectProfile)
	opened, err := fleet.Open(clients.Plan{
		URL: srv.URL, Keys: s.keys, Count: o.N, V1: o.N * o.V1 / 100, Groups: groups, Parallel: o.Parallel,
	})
	if err != nil {
		return err
	}
	if err := cpu.end("connect"); err != nil {
		return err
	}
	if err := profiled(); err != nil {
		return err
	}
	online, err := countOnline(ctx, st)
	if err != nil {
		return err
	}
	t := measure.NewTable(out, "clients coming in on one imserver")
	t.Row("connections", o.N, fmt.Sprintf("%d%% imtier.v1, %d groups each, %d handshakes at once", o.V1, o.Groups, o.Parallel))
	t.Row("connects", fmt.Sprintf("%.0f/s", float64(o.N)/opened.Elapsed.Seconds()), retried(opened))
	t.Row("processor time, µs per connect", cpu.each("connect", int64(o.N)))
	t.Row("online in Redis", online)
	if err := t.Flush(); err != nil {
		return err
	}
	if online != o.N {
		return fmt.Errorf("%d clients are online in Redis, %d are connected", online, o.N)
	}
	return nil
}
