package scenario

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/imtier/imtier/bench/internal/bare"
	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/pkg/protocol"
)

// Fanout measures how long one message takes to a large group on one node, next to a loop that does nothing but
// write the same frame to as many sockets.
type Fanout struct {
	Common
	Members  int
	Rounds   int
	Size     int // bytes of data
	V1       int // percent
	MaxRatio float64
}

// Register puts the flags into fs.
func (o *Fanout) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.Members, "members", 10000, "members of the group, each with a connection")
	fs.IntVar(&o.Rounds, "rounds", 20, "messages, one after the other")
	fs.IntVar(&o.Size, "size", 150, "bytes of a message's data")
	fs.IntVar(&o.V1, "v1", 0, "percent of the connections that speak imtier.v1")
	fs.Float64Var(&o.MaxRatio, "max-ratio", 1.25, "limit of the time to the last socket, as a multiple of the bare loop's")
	return o.Common.Register(fs)
}

const (
	fanoutGroup = "bench"
	// warmup rounds fill caches and grow heaps; they do not count.
	warmup = 3
	// roundPause lets what a round left behind (acknowledgements, garbage) end before the next one.
	roundPause = 100 * time.Millisecond
	roundLimit = 10 * time.Second
)

// side is one of the two that are compared.
type side struct {
	name    string
	fleet   clients.Remote
	publish func(ctx context.Context, round int, data []byte) error

	median, last []float64 // milliseconds, of each round
}

// Run measures and prints.
func (o *Fanout) Run(ctx context.Context, out io.Writer) error {
	s, err := newStage(ctx, o.Common, out)
	if err != nil {
		return err
	}
	defer s.close()
	s.logf("fanout: opening twice %d connections …", o.Members)
	im, err := o.imtier(ctx, s)
	if err != nil {
		return err
	}
	loop, err := o.bare(ctx, s)
	if err != nil {
		return err
	}
	s.logf("fanout: %d rounds of both in turn …", o.Rounds)
	for round := range warmup + o.Rounds {
		data := clients.Data(round, o.Size)
		frame, err := o.round(ctx, im, round, data, round >= warmup)
		if err != nil {
			return err
		}
		if _, err := o.round(ctx, loop, round, frame, round >= warmup); err != nil {
			return err
		}
	}
	return o.report(out, im, loop)
}

// imtier starts Redis' and imserver's side.
func (o *Fanout) imtier(ctx context.Context, s *stage) (*side, error) {
	srv, err := s.imserver(ctx)
	if err != nil {
		return nil, err
	}
	st, err := s.store(ctx)
	if err != nil {
		return nil, err
	}
	fleet, err := o.open(ctx, s, clients.Plan{
		URL: srv.URL, Keys: s.keys, Groups: []string{fanoutGroup}, V1: o.Members * o.V1 / 100,
	})
	if err != nil {
		return nil, err
	}
	return &side{name: "imtier", fleet: fleet, publish: func(ctx context.Context, round int, data []byte) error {
		_, err := st.PublishGroup(ctx, envelope(round, data), fanoutGroup, false)
		return err
	}}, nil
}

func envelope(round int, data []byte) *protocol.Envelope {
	return &protocol.Envelope{ID: fmt.Sprintf("round-%d", round), From: "bench", Time: time.Now().UnixMilli(), Data: data}
}

// bare starts the loop's side.
func (o *Fanout) bare(ctx context.Context, s *stage) (*side, error) {
	w, err := s.worker(ctx, bare.FanoutRole)
	if err != nil {
		return nil, err
	}
	server := bare.Fanout{W: w}
	url, err := server.URL()
	if err != nil {
		return nil, err
	}
	fleet, err := o.open(ctx, s, clients.Plan{URL: url})
	if err != nil {
		return nil, err
	}
	return &side{name: "bare loop", fleet: fleet, publish: func(_ context.Context, _ int, frame []byte) error {
		return server.Write(frame)
	}}, nil
}

func (o *Fanout) open(ctx context.Context, s *stage, p clients.Plan) (clients.Remote, error) {
	fleet, err := s.fleet(ctx)
	if err != nil {
		return fleet, err
	}
	p.Count, p.Parallel = o.Members, s.c.Parallel
	_, err = fleet.Open(p)
	return fleet, err
}

// round sends one message and waits until every client has it. It returns the payload as it arrived.
func (o *Fanout) round(ctx context.Context, sd *side, round int, data []byte, counts bool) ([]byte, error) {
	if err := pause(ctx, roundPause); err != nil {
		return nil, err
	}
	if err := sd.fleet.Arm(round, o.Members); err != nil {
		return nil, err
	}
	begin := time.Now().UnixNano()
	if err := sd.publish(ctx, round, data); err != nil {
		return nil, fmt.Errorf("%s: publish: %w", sd.name, err)
	}
	r, err := sd.fleet.Await(roundLimit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sd.name, err)
	}
	if counts {
		sd.median = append(sd.median, float64(r.Median-begin)/1e6)
		sd.last = append(sd.last, float64(r.Last-begin)/1e6)
	}
	return r.Frame, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// report prints the table and compares with the limit.
func (o *Fanout) report(out io.Writer, im, loop *side) error {
	ratios := make([]float64, len(im.last))
	for i := range ratios {
		ratios[i] = im.last[i] / loop.last[i]
	}
	ratio := measure.Median(ratios)
	t := measure.NewTable(out, fmt.Sprintf("one message of %d bytes to a group of %d on one imserver, %d rounds, milliseconds",
		o.Size, o.Members, o.Rounds))
	t.Row("", "half have it", "last has it", "best", "worst")
	for _, sd := range []*side{loop, im} {
		t.Row(sd.name, ms(measure.Median(sd.median)), ms(measure.Median(sd.last)),
			ms(measure.Quantile(sd.last, 0)), ms(measure.Quantile(sd.last, 1)))
	}
	t.Row("ratio", "", fmt.Sprintf("%.3f", ratio), fmt.Sprintf("limit %.2f", o.MaxRatio))
	if err := t.Flush(); err != nil {
		return err
	}
	if ratio > o.MaxRatio {
		return fmt.Errorf("%.3f times the bare loop: %w of %.2f", ratio, ErrOver, o.MaxRatio)
	}
	return nil
}

func ms(v float64) string { return fmt.Sprintf("%.1f", v) }
