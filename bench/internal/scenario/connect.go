package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/imtier/imtier/bench/internal/bare"
	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
)

const (
	// connectProfile is how long a profile of the server lasts while clients come in.
	connectProfile = 5 * time.Second
	// stormParallel is as many handshakes as a listener's queue holds (net.core.somaxconn): more would wait a second
	// in the kernel for their first packet to be sent again.
	stormParallel = 4096
	// fullParallel keeps both ends busy: with usualParallel a tenth of two processors' time passes while everybody waits.
	fullParallel = 256
)

// Connect measures how fast clients come in, each with a signed URL and registered in Redis, next to servers
// that accept WebSockets and do nothing else.
type Connect struct {
	Common
	N        int
	V1       int // percent
	Groups   int
	Storm    bool
	Baseline bool
	MinRate  float64
	Profile  string // file for a CPU profile of the server; empty: none
}

// Register puts the flags into fs.
func (o *Connect) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.N, "n", 10000, "connections")
	fs.IntVar(&o.V1, "v1", 50, "percent of the connections that speak imtier.v1, whose start is waited for")
	fs.IntVar(&o.Groups, "groups", 0, "groups that each client joins")
	fs.BoolVar(&o.Storm, "storm", false, fmt.Sprintf("all at once: %d handshakes at a time", stormParallel))
	fs.BoolVar(&o.Baseline, "baseline", true, "compare with net/http and coder/websocket that accept and do nothing else, and with a loop that answers handshakes")
	fs.Float64Var(&o.MinRate, "min-rate", 8000, "least connects a second")
	fs.StringVar(&o.Profile, "profile", "", "file in which to store a CPU profile of the server while they come in")
	o.Parallel = fullParallel
	return o.Common.Register(fs)
}

// Check tells what is wrong with the flags.
func (o *Connect) Check() error {
	err := errors.Join(o.Common.Check(), atLeast("n", o.N, 1), percent("v1", o.V1), atLeast("groups", o.Groups, 0))
	if o.Storm && o.given("parallel") {
		err = errors.Join(err, fmt.Errorf("-storm is %d handshakes at once: not with -parallel", stormParallel))
	}
	return err
}

// Run measures.
func (o *Connect) Run(ctx context.Context, p *report.Progress) (*report.Result, error) {
	if o.Storm {
		o.Parallel = stormParallel
	}
	res := report.New("connect", fmt.Sprintf("%d clients come in on one imserver, %d%% of them imtier.v1, %d groups each, %d handshakes at once",
		o.N, o.V1, o.Groups, o.Parallel))
	if err := checkFiles(o.N); err != nil {
		return res, err
	}
	s, err := newStage(ctx, o.Common, p)
	if err != nil {
		return res, err
	}
	defer s.close()
	defer s.tell(res)
	baselines := acceptors()
	if !o.Baseline {
		baselines = nil
	}
	for i := range baselines {
		b := &baselines[i]
		p.Say("connect: %d connections to %s …", o.N, b.what)
		if b.rate, err = o.bare(ctx, s, res, b); err != nil {
			return res, err
		}
	}
	p.Say("connect: %d connections to imserver …", o.N)
	rate, err := o.imtier(ctx, s, res)
	if err != nil {
		return res, err
	}
	for _, b := range baselines {
		res.Add("share of "+b.whose+" rate", rate/b.rate, "", "")
	}
	return res, nil
}

// acceptor is a server that takes connections and does nothing with them.
type acceptor struct {
	name, what, whose string
	role              string
	url               func(*procs.Worker) (string, error)
	rate              float64 // connects a second
}

func acceptors() []acceptor {
	return []acceptor{
		{"accept only", "a server that only accepts", "the accepting server's", bare.AcceptRole,
			func(w *procs.Worker) (string, error) { return bare.Accept{W: w}.URL() }, 0},
		{"bare loop", "a bare loop", "the bare loop's", bare.FanoutRole,
			func(w *procs.Worker) (string, error) { return bare.Fanout{W: w}.URL() }, 0},
	}
}

// bare measures one of them; its clients leave again.
func (o *Connect) bare(ctx context.Context, s *stage, res *report.Result, b *acceptor) (rate float64, err error) {
	w, err := s.worker(ctx, b.role)
	if err != nil {
		return 0, err
	}
	url, err := b.url(w)
	if err != nil {
		return 0, err
	}
	fleet, err := s.fleet(ctx)
	if err != nil {
		return 0, err
	}
	cpu := s.account("driver")
	cpu.add("bare", w.PID())
	cpu.add("clients", fleet.W.PID())
	if err := cpu.begin(); err != nil {
		return 0, err
	}
	opened, err := fleet.Open(clients.Plan{URL: url, Count: o.N, Parallel: o.Parallel})
	if err != nil {
		return 0, err
	}
	if err := cpu.end(b.name); err != nil {
		return 0, err
	}
	rate = float64(o.N) / opened.Elapsed.Seconds()
	res.Add(b.name+": connects", rate, "/s", "raw, without tokens, presence and Redis")
	res.Costs = append(res.Costs, cpu.cost(b.name, "connect", int64(o.N)))
	connects, _, err := fleet.Took()
	if err != nil {
		return 0, err
	}
	res.Took("handshake, "+b.name, connects)
	rss, err := measure.RSS(w.PID())
	if err != nil {
		return 0, err
	}
	res.Add(b.name+": resident memory per connection", float64(rss)/float64(o.N), "bytes", "of all the process")
	return rate, fleet.Leave()
}

// imtier measures the product.
func (o *Connect) imtier(ctx context.Context, s *stage, res *report.Result) (rate float64, err error) {
	srv, err := s.imserver(ctx)
	if err != nil {
		return 0, err
	}
	st, err := s.store(ctx)
	if err != nil {
		return 0, err
	}
	fleet, err := s.fleet(ctx)
	if err != nil {
		return 0, err
	}
	joins := make([]string, o.Groups)
	for i := range joins {
		joins[i] = clients.GroupName(i)
	}
	cpu := s.account("driver")
	cpu.add("imserver", srv.PID())
	cpu.add("clients", fleet.W.PID())
	if err := cpu.begin(); err != nil {
		return 0, err
	}
	profiled := profile(ctx, srv, o.Profile, connectProfile)
	opened, err := fleet.Open(clients.Plan{
		URL: srv.URL, Keys: s.keys, Count: o.N, V1: o.N * o.V1 / 100, Groups: joins, Parallel: o.Parallel,
	})
	if err != nil {
		return 0, err
	}
	if err := cpu.end("connect"); err != nil {
		return 0, err
	}
	if err := profiled(); err != nil {
		return 0, err
	}
	rate = float64(o.N) / opened.Elapsed.Seconds()
	res.Check("connects", rate, "/s", report.AtLeast(o.MinRate), retried(opened))
	res.Costs = append(res.Costs, cpu.cost("connect", "connect", int64(o.N)))
	connects, _, err := fleet.Took()
	if err != nil {
		return 0, err
	}
	res.Took("handshake", connects)
	online, err := countOnline(ctx, st)
	if err != nil {
		return 0, err
	}
	checkOnline(res, "", o.N, online)
	return rate, nil
}

// retried tells of handshakes that had to be repeated, if any.
func retried(o clients.Opened) string {
	if o.Retries == 0 {
		return ""
	}
	return fmt.Sprintf("%d answered 503 and tried again", o.Retries)
}
