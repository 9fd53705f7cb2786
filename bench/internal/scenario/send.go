package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/load"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
)

// Send measures direct sends, through webapi or through imhelper: as many as are accepted, or at a given rate.
type Send struct {
	Common
	Via          string
	Kind         string
	N            int // receivers
	Offline      bool
	Acks         bool // clients acknowledge
	Senders      int
	BatchSize    int
	BatchSenders int
	Rate         float64
	Rounds       int
	Duration     time.Duration
	Baseline     bool
	Profiles     string // folder for CPU profiles of the programs; empty: none

	MinDurable, MinEphemeral, MinChain, MinBatch, MinBatchChain, MinBatchShare float64
	MaxP99                                                                     time.Duration
}

// Ways to send, and kinds of sends; also names of rows.
const (
	viaWebapi   = "webapi"
	viaImhelper = "imhelper"

	kindBare       = "bare handler"
	kindChain      = "bare chain"
	kindScript     = "bare script"
	kindChainBatch = "bare chain, batches"
	kindDurable    = "durable"
	kindEphemeral  = "ephemeral"
	kindBatch      = "batch"
	kindAll        = "all"
)

const (
	sendKey  = "bench-key"
	sendSize = 150 // bytes of data
	// envelopeSize is about what imtier keeps of a message besides its data.
	envelopeSize = 60
	// Requests under way at the same time, unless told otherwise.
	httpSenders   = 64
	helperSenders = 256
	// arriveLimit is how long the last messages may take to arrive after the last answer.
	arriveLimit = 30 * time.Second
	// warmTime is how long each kind is sent before it counts.
	warmTime = 500 * time.Millisecond
)

// Register puts the flags into fs.
func (o *Send) Register(fs *flag.FlagSet) error {
	fs.StringVar(&o.Via, "via", viaWebapi, "webapi or imhelper")
	fs.StringVar(&o.Kind, "kind", kindAll, "durable, ephemeral, batch (durable, -batch-size at a time) or all")
	fs.IntVar(&o.N, "n", 10000, "receivers, to whom messages go in turn")
	fs.BoolVar(&o.Offline, "offline", false, "nobody is connected: how fast sends are accepted alone")
	fs.BoolVar(&o.Acks, "acks", false, "clients of imtier.v1, every second one, acknowledge once a second what they got, as client-js does")
	fs.IntVar(&o.Senders, "senders", 0, fmt.Sprintf("sends under way at the same time: HTTP connections (%d), or goroutines that call imhelper (%d)", httpSenders, helperSenders))
	fs.IntVar(&o.BatchSize, "batch-size", 500, "sends in one batch")
	fs.IntVar(&o.BatchSenders, "batch-senders", 4, "batches under way at the same time")
	fs.Float64Var(&o.Rate, "rate", 0, "sends a second, each at its own time, and their latency is what counts; 0: as fast as they are answered")
	fs.IntVar(&o.Rounds, "rounds", 5, "how often each kind is measured, in turn")
	fs.DurationVar(&o.Duration, "duration", 2*time.Second, "of each measurement")
	fs.BoolVar(&o.Baseline, "baseline", true, "compare sends through webapi with a bare chi handler that parses the same body and answers, durable ones and batches also with a bare chain that delivers them, and batches that nobody gets with a script that does the least")
	fs.StringVar(&o.Profiles, "profiles", "", "folder in which to store CPU profiles of webapi and imserver, of each kind's first round")
	fs.Float64Var(&o.MinDurable, "min-durable", 0.45, "least share of the bare handler's rate, durable sends through webapi")
	fs.Float64Var(&o.MinEphemeral, "min-ephemeral", 0.55, "least share of the bare handler's rate, ephemeral sends through webapi")
	fs.Float64Var(&o.MinChain, "min-chain", 1, "least rate of durable sends through webapi, as a multiple of the bare chain's")
	fs.Float64Var(&o.MinBatch, "min-batch", 60000, "least durable sends a second in batches")
	fs.Float64Var(&o.MinBatchChain, "min-batch-chain", 0.85, "least rate of durable sends in batches, as a multiple of the bare chain's")
	fs.Float64Var(&o.MinBatchShare, "min-batch-share", 0.59, "least share of the bare script's rate, durable sends in batches with -offline")
	fs.DurationVar(&o.MaxP99, "max-p99", 5*time.Millisecond, "most time that 99 of 100 sends take until the receiver has read them, with -rate")
	return o.Common.Register(fs)
}

// Check tells what is wrong with the flags.
func (o *Send) Check() error {
	err := errors.Join(o.Common.Check(), atLeast("n", o.N, 1), atLeast("senders", o.Senders, 0), atLeast("batch-size", o.BatchSize, 1),
		atLeast("batch-senders", o.BatchSenders, 1), atLeast("rounds", o.Rounds, 1), lasts("duration", o.Duration))
	switch {
	case o.Via != viaWebapi && o.Via != viaImhelper:
		return fmt.Errorf("-via is %q: webapi or imhelper", o.Via)
	case !slices.Contains([]string{kindAll, kindDurable, kindEphemeral, kindBatch}, o.Kind):
		return fmt.Errorf("-kind is %q: durable, ephemeral, batch or all", o.Kind)
	case err != nil:
		return err
	case o.Offline && o.Rate != 0:
		return errors.New("-rate measures when receivers have a message: not with -offline")
	case o.Offline && o.Acks:
		return errors.New("-acks is what connected clients do: not with -offline")
	case o.Rate == 0:
		return nil
	case o.wants(kindBatch):
		return paces("rate", o.Rate, o.Duration, o.inBatch())
	}
	return paces("rate", o.Rate, o.Duration, 1)
}

// inBatch is how many sends one has. Through webapi each is to somebody else.
func (o *Send) inBatch() int {
	if o.Via == viaWebapi {
		return min(o.BatchSize, o.N)
	}
	return o.BatchSize
}

// kind is one of the loads that take turns.
type kind struct {
	name string
	plan load.Plan
	each int       // sends of one request
	to   *audience // nil: nobody
	turn int       // receivers: the first so many, in turn

	rates     []float64 // sends a second that were answered, of each round
	arrived   []float64 // the same, with the time until the last had been read
	p99       []float64 // milliseconds until read, of each round
	sent      int64     // of all rounds
	answered  *measure.Latency
	delivered *measure.Latency
}

// bare tells whether it is a baseline's.
func (k *kind) bare() bool {
	return slices.Contains([]string{kindBare, kindChain, kindChainBatch, kindScript}, k.name)
}

// audience are clients, and what they have to get.
type audience struct {
	clients.Crowd
	want     []int64 // messages of each, also while warming up
	shuffled bool    // which of them stands for which receiver is a matter of chance
}

func newKind(name string, each, turn int, to *audience, plan load.Plan) *kind {
	return &kind{
		name: name, each: each, turn: turn, to: to, plan: plan,
		answered: measure.NewLatency(), delivered: measure.NewLatency(),
	}
}

// sending is what a message passes through.
type sending struct {
	*stage
	cpu   *account
	to    *audience // nil when nobody is connected
	at    []place
	api   *procs.Server // nil without webapi
	chain *audience     // of the bare chain; nil without it
	kinds []*kind
}

// Run measures.
func (o *Send) Run(ctx context.Context, p *report.Progress) (*report.Result, error) {
	res := report.New("send", o.title())
	if !o.Offline {
		if err := checkFiles(o.N); err != nil {
			return res, err
		}
	}
	if err := profileFolder(o.Profiles); err != nil {
		return res, err
	}
	s, err := newStage(ctx, o.Common, p)
	if err != nil {
		return res, err
	}
	defer s.close()
	defer s.tell(res)
	x := &sending{stage: s, cpu: s.account("generator")}
	if err := o.receivers(ctx, x); err != nil {
		return res, err
	}
	build := o.throughWebapi
	if o.Via == viaImhelper {
		build = o.throughImhelper
	}
	if err := build(ctx, x); err != nil {
		return res, err
	}
	if err := o.script(ctx, x); err != nil {
		return res, err
	}
	p.Say("send: %d rounds of %d kinds, %v each …", o.Rounds, len(x.kinds), o.Duration)
	for round := range o.Rounds + 1 {
		for _, k := range x.kinds {
			if err := o.measure(ctx, x, k, round); err != nil {
				return res, fmt.Errorf("%s: %w", k.name, err)
			}
		}
	}
	return res, o.report(ctx, res, x)
}

func (o *Send) title() string {
	who, how := "connected", "as fast as they are answered"
	if o.Offline {
		who = "absent"
	}
	if o.Rate > 0 {
		how = fmt.Sprintf("%.0f a second", o.Rate)
	}
	return fmt.Sprintf("sends of %d bytes to %d %s clients through %s, %s, medians of %d rounds of %v",
		sendSize, o.N, who, o.Via, how, o.Rounds, o.Duration)
}

// receivers connects those to whom is sent.
func (o *Send) receivers(ctx context.Context, x *sending) (err error) {
	if o.Offline {
		return nil
	}
	if x.at, err = x.places(ctx, 1, x.cpu); err != nil {
		return err
	}
	x.to = &audience{Crowd: crowd(x.at), want: make([]int64, o.N)}
	x.p.Say("send: opening %d connections …", o.N)
	_, err = x.to.Open(func(int) clients.Plan {
		return clients.Plan{URL: x.at[0].srv.URL, Keys: x.keys, Count: o.N, V1: o.N / 2, Acks: o.Acks, Parallel: o.Parallel}
	})
	return err
}

// wants tells whether a kind is to be measured. At a rate, batches are only when asked for: it is single sends that
// people wait for.
func (o *Send) wants(kind string) bool {
	return o.Kind == kind || o.Kind == kindAll && (o.Rate == 0 || kind != kindBatch)
}

// paced completes a plan with rate and time.
func (o *Send) paced(p load.Plan, each int) load.Plan {
	p.Rate, p.Duration = o.Rate/float64(each), o.Duration
	return p
}

// measure runs one round of a kind and waits until everything has arrived, so that nothing disturbs the next one. Round
// 0 warms up and does not count.
func (o *Send) measure(ctx context.Context, x *sending, k *kind, round int) error {
	plan, profiled := k.plan, func() error { return nil }
	if round == 0 {
		plan = warm(plan)
	}
	if round == 1 {
		profiled = o.profile(ctx, x, k)
	}
	if err := x.cpu.begin(); err != nil {
		return err
	}
	begin := time.Now()
	r, err := load.Run(ctx, plan)
	if err != nil {
		return err
	}
	sends := r.Done * int64(k.each)
	delivered, err := k.to.await(ctx, k.turn, sends)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	if round > 0 {
		if err := x.cpu.end(k.name); err != nil {
			return err
		}
		k.sent += sends
		k.rates = append(k.rates, r.Rate()*float64(k.each))
		k.arrived = append(k.arrived, float64(sends)/took.Seconds())
		k.answered.Merge(r.Took)
		k.delivered.Merge(delivered)
		k.p99 = append(k.p99, p99(delivered))
	}
	return errors.Join(profiled(), pause(ctx, roundPause))
}

// warm is a plan to warm up: shorter, unless nothing would be sent then.
func warm(p load.Plan) load.Plan {
	short := p
	if short.Duration = min(p.Duration, warmTime); p.Rate > 0 && short.Total() < 1 {
		return p
	}
	return short
}

// await waits until so many more messages have arrived that went to the first clients in turn, and returns how long they
// took. Nobody, nil, waits for nothing.
func (a *audience) await(ctx context.Context, clients int, messages int64) (*measure.Latency, error) {
	if a == nil {
		return measure.NewLatency(), nil
	}
	inTurn(a.want, clients, messages)
	if err := awaitMessages(ctx, a.Crowd, sum(a.want)); err != nil {
		return nil, err
	}
	_, took, err := a.Took()
	return took, err
}

// awaitMessages returns when so many have arrived or no more time is left.
func awaitMessages(ctx context.Context, crowd clients.Crowd, want int64) error {
	for end := time.Now().Add(arriveLimit); ; {
		s, err := crowd.Stats()
		switch {
		case err != nil:
			return err
		case s.Failure != "":
			return fmt.Errorf("a client failed: %s", s.Failure)
		case s.Messages >= want || time.Now().After(end):
			return nil
		}
		if err := pause(ctx, roundPause/10); err != nil {
			return err
		}
	}
}
