package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/imtier/imtier/bench/internal/bare"
	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/load"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
)

// Sends measures direct sends through webapi to connected clients, as a share of what a handler reaches under the
// same load that only parses the body and answers.
type Sends struct {
	Common
	Receivers  int
	Conns      int
	Rounds     int
	Duration   time.Duration
	BatchSize  int
	BatchConns int
	Profiles   string // folder for CPU profiles of the programs; empty: none

	MinDurable, MinEphemeral, MinBatch float64
}

// Register puts the flags into fs.
func (o *Sends) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.Receivers, "receivers", 10000, "connected clients, to whom messages go in turn")
	fs.IntVar(&o.Conns, "conns", 64, "HTTP connections, each with one request under way")
	fs.IntVar(&o.Rounds, "rounds", 5, "how often each kind is measured, in turn")
	fs.DurationVar(&o.Duration, "duration", 2*time.Second, "of each measurement")
	fs.IntVar(&o.BatchSize, "batch-size", 500, "sends in one batch")
	fs.IntVar(&o.BatchConns, "batch-conns", 4, "HTTP connections of batches")
	fs.StringVar(&o.Profiles, "profiles", "", "folder in which to store CPU profiles of each kind's first round")
	fs.Float64Var(&o.MinDurable, "min-durable", 0.45, "least share of the bare handler's rate, durable sends")
	fs.Float64Var(&o.MinEphemeral, "min-ephemeral", 0.55, "least share of the bare handler's rate, ephemeral sends")
	fs.Float64Var(&o.MinBatch, "min-batch", 60000, "least durable sends a second in batches")
	return o.Common.Register(fs)
}

const (
	sendKey  = "bench-key"
	sendSize = 150 // bytes of data
	// arriveLimit is how long the last messages may take to arrive after the last answer.
	arriveLimit = 30 * time.Second
)

// kind is one of the loads that take turns.
type kind struct {
	name    string
	plan    load.Plan
	arrives bool      // what is sent reaches clients
	each    int       // sends in one request
	rates   []float64 // sends a second, of each round
	last    int64     // sends of the last round
	sent    int64     // of all
}

// programs are what a message passes through.
type programs struct {
	imserver, webapi *procs.Server
	fleet            clients.Remote
	cpu              *account
}

// Run measures and prints.
func (o *Sends) Run(ctx context.Context, out io.Writer) error {
	s, err := newStage(ctx, o.Common, out)
	if err != nil {
		return err
	}
	defer s.close()
	p := programs{cpu: newAccount()}
	if err := o.receivers(ctx, s, &p); err != nil {
		return err
	}
	kinds, err := o.kinds(ctx, s, &p)
	if err != nil {
		return err
	}
	s.logf("sends: %d rounds of %d kinds, %v each …", o.Rounds, len(kinds), o.Duration)
	var sent int64
	for round := range o.Rounds {
		for _, k := range kinds {
			if err := o.measure(ctx, k, &p, round); err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			if k.arrives {
				sent = sent + k.last
			}
			if _, err := awaitMessages(ctx, p.fleet, sent); err != nil { // so that none disturbs the next kind
				return err
			}
			if err := p.cpu.end(k.name); err != nil {
				return err
			}
			if err := pause(ctx, roundPause); err != nil {
				return err
			}
		}
	}
	arrived, err := awaitMessages(ctx, p.fleet, sent)
	if err != nil {
		return err
	}
	return o.report(out, kinds, &p, sent, arrived)
}

// measure runs one round of a kind.
func (o *Sends) measure(ctx context.Context, k *kind, p *programs, round int) error {
	profiled := o.profile(ctx, k, p, round)
	if err := p.cpu.begin(); err != nil {
		return err
	}
	r, err := load.Run(ctx, k.plan)
	if err != nil {
		return err
	}
	k.last = r.Answered * int64(k.each)
	k.sent += k.last
	k.rates = append(k.rates, r.Rate()*float64(k.each))
	return profiled()
}

// profile records what the programs do in a kind's first round; the function returned waits for the end.
func (o *Sends) profile(ctx context.Context, k *kind, p *programs, round int) (wait func() error) {
	if o.Profiles == "" || round > 0 || !k.arrives {
		return func() error { return nil }
	}
	seconds := max(1, int(o.Duration.Seconds()))
	errs := make(chan error, 2)
	for name, srv := range map[string]*procs.Server{"webapi": p.webapi, "imserver": p.imserver} {
		file := filepath.Join(o.Profiles, strings.ReplaceAll(k.name, " ", "-")+"."+name+".pprof")
		go func() { errs <- srv.Profile(ctx, fmt.Sprintf("profile?seconds=%d", seconds), file) }()
	}
	return func() error { return errors.Join(<-errs, <-errs) }
}

func (o *Sends) receivers(ctx context.Context, s *stage, p *programs) (err error) {
	if p.imserver, err = s.imserver(ctx); err != nil {
		return err
	}
	if p.fleet, err = s.fleet(ctx); err != nil {
		return err
	}
	if s.ownRedis != nil {
		p.cpu.add("redis", s.ownRedis.PID())
	}
	p.cpu.add("imserver", p.imserver.PID())
	p.cpu.add("clients", p.fleet.W.PID())
	s.logf("sends: opening %d connections …", o.Receivers)
	_, err = p.fleet.Open(clients.Plan{
		URL: p.imserver.URL, Keys: s.keys, Count: o.Receivers, V1: o.Receivers / 2, Parallel: o.Parallel,
	})
	return err
}

// kinds starts the two HTTP servers and builds the requests; the first kind is the bare one.
func (o *Sends) kinds(ctx context.Context, s *stage, p *programs) ([]*kind, error) {
	w, err := s.worker(ctx, bare.HandlerRole)
	if err != nil {
		return nil, err
	}
	bareAddr, err := bare.Handler{W: w}.Addr()
	if err != nil {
		return nil, err
	}
	api, err := s.server(ctx, s.c.Webapi, "IM_API_KEYS="+sendKey)
	if err != nil {
		return nil, err
	}
	p.webapi = api
	p.cpu.add("webapi", api.PID())
	p.cpu.add("bare", w.PID())
	durable, ephemeral := o.bodies(false), o.bodies(true)
	return []*kind{
		o.single("bare handler", bareAddr, durable, false),
		o.single("durable", api.Addr, durable, true),
		o.single("ephemeral", api.Addr, ephemeral, true),
		o.batched("durable, in batches", api.Addr),
	}, nil
}

// sendBody is a direct send as webapi takes it.
type sendBody struct {
	Kind      string          `json:"kind,omitempty"` // in batches
	To        string          `json:"to"`
	From      string          `json:"from"`
	Data      json.RawMessage `json:"data"`
	Ephemeral bool            `json:"ephemeral,omitempty"`
}

func (o *Sends) bodies(ephemeral bool) [][]byte {
	out := make([][]byte, o.Receivers)
	for i := range out {
		out[i] = encode(sendBody{To: clients.ClientID(i), From: "bench", Data: clients.Data(0, sendSize), Ephemeral: ephemeral})
	}
	return out
}

// encode writes values of this file's own types, which cannot fail.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func (o *Sends) single(name, addr string, bodies [][]byte, arrives bool) *kind {
	requests := make([][]byte, len(bodies))
	for i, b := range bodies {
		requests[i] = load.Request(addr, "/v1/messages", sendKey, b)
	}
	plan := load.Plan{Addr: addr, Requests: requests, Conns: o.Conns, Duration: o.Duration}
	return &kind{name: name, arrives: arrives, each: 1, plan: plan}
}

func (o *Sends) batched(name, addr string) *kind {
	size := min(o.BatchSize, o.Receivers)
	var requests [][]byte
	for first := 0; first+size <= o.Receivers; first += size {
		sends := make([]sendBody, size)
		for i := range sends {
			sends[i] = sendBody{Kind: "direct", To: clients.ClientID(first + i), From: "bench", Data: clients.Data(0, sendSize)}
		}
		body := encode(map[string]any{"sends": sends})
		requests = append(requests, load.Request(addr, "/v1/batch", sendKey, body))
	}
	plan := load.Plan{Addr: addr, Requests: requests, Conns: o.BatchConns, Duration: o.Duration}
	return &kind{name: name, arrives: true, each: size, plan: plan}
}

// awaitMessages returns how many messages arrived, when all did or no more time is left.
func awaitMessages(ctx context.Context, fleet clients.Remote, want int64) (int64, error) {
	for end := time.Now().Add(arriveLimit); ; {
		s, err := fleet.Stats()
		switch {
		case err != nil:
			return 0, err
		case s.Failure != "":
			return s.Messages, fmt.Errorf("a client failed: %s", s.Failure)
		case s.Messages >= want || time.Now().After(end):
			return s.Messages, nil
		}
		if err := pause(ctx, roundPause); err != nil {
			return 0, err
		}
	}
}

// report prints the table and compares with the limits.
func (o *Sends) report(out io.Writer, kinds []*kind, p *programs, sent, arrived int64) error {
	base := measure.Median(kinds[0].rates)
	shares := make([]float64, len(kinds))
	t := measure.NewTable(out, fmt.Sprintf("sends of %d bytes to %d connected clients through one webapi, medians of %d rounds",
		sendSize, o.Receivers, o.Rounds))
	t.Row("", "sends/s", "share", "least share", "processor time, µs per send")
	limits := []any{"", o.MinDurable, o.MinEphemeral, fmt.Sprintf("%.0f/s", o.MinBatch)}
	for i, k := range kinds {
		ratios := make([]float64, len(k.rates))
		for j := range ratios {
			ratios[j] = k.rates[j] / kinds[0].rates[j]
		}
		shares[i] = measure.Median(ratios)
		t.Row(k.name, fmt.Sprintf("%.0f", measure.Median(k.rates)), fmt.Sprintf("%.2f", shares[i]), limits[i], p.cpu.each(k.name, k.sent))
	}
	t.Row("messages", fmt.Sprintf("%d sent", sent), fmt.Sprintf("%d arrived", arrived))
	if err := t.Flush(); err != nil {
		return err
	}
	batch := measure.Median(kinds[3].rates)
	switch {
	case arrived != sent:
		return fmt.Errorf("%d messages were sent and %d arrived", sent, arrived)
	case shares[1] < o.MinDurable, shares[2] < o.MinEphemeral, batch < o.MinBatch:
		return fmt.Errorf("too slow next to %.0f/s: %w", base, ErrOver)
	}
	return nil
}
