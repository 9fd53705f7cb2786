package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/imtier/imtier/bench/internal/bare"
	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
	"github.com/imtier/imtier/pkg/protocol"
)

const (
	// warmup rounds fill caches and grow heaps; they do not count.
	warmup = 3
	// roundPause lets what a round left behind (acknowledgements, garbage) end before the next one.
	roundPause = 100 * time.Millisecond
	roundLimit = 30 * time.Second

	sideImtier = "imtier"
	sideBare   = "bare loop"
)

// side is one of those that are compared.
type side struct {
	name    string
	crowd   clients.Crowd
	publish func(ctx context.Context, round int, data []byte) error

	sent int64            // messages to everybody, also while warming up
	last []float64        // milliseconds until the last client had it, of each round
	took *measure.Latency // of every delivery
}

// contest is rounds of one message to every client of each side, in turn. The first side's message, as it arrived,
// is what the other sides write.
type contest struct {
	sides   []*side
	rounds  int
	size    int // bytes of data
	members int // clients of each fleet
	pause   time.Duration
	cpu     *account
}

// run does all rounds. Those of the warm-up leave no trace.
func (c *contest) run(ctx context.Context) error {
	for round := range warmup + c.rounds {
		if round == warmup {
			if err := c.forget(); err != nil {
				return err
			}
		}
		payload := clients.Data(round, c.size)
		for _, sd := range c.sides {
			frame, err := c.round(ctx, sd, round, payload, round >= warmup)
			if err != nil {
				return fmt.Errorf("%s: %w", sd.name, err)
			}
			payload = frame
		}
	}
	for _, sd := range c.sides {
		_, took, err := sd.crowd.Took()
		if err != nil {
			return err
		}
		sd.took = took
	}
	return nil
}

// forget has the clients forget how long messages took so far.
func (c *contest) forget() error {
	for _, sd := range c.sides {
		if _, _, err := sd.crowd.Took(); err != nil {
			return err
		}
	}
	return nil
}

// round sends one message and waits until every client has it. It returns the payload as it arrived.
func (c *contest) round(ctx context.Context, sd *side, round int, payload []byte, counts bool) ([]byte, error) {
	if err := pause(ctx, c.pause); err != nil {
		return nil, err
	}
	if err := sd.crowd.Arm(round, c.members); err != nil {
		return nil, err
	}
	if err := c.cpu.begin(); err != nil {
		return nil, err
	}
	begin := time.Now()
	clients.Stamp(payload, begin)
	if err := sd.publish(ctx, round, payload); err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	sd.sent++
	r, err := sd.crowd.Await(roundLimit)
	if err != nil || !counts {
		return r.Frame, err
	}
	sd.last = append(sd.last, float64(r.Last-begin.UnixNano())/1e6)
	return r.Frame, c.cpu.end(sd.name)
}

// deliveries is how many messages of counted rounds a side's clients got.
func (c *contest) deliveries(sd *side) int64 {
	return int64(c.rounds) * int64(c.members) * int64(len(sd.crowd))
}

// exact adds what the clients of the contests' first sides have got more or less than was sent to them.
func exact(ctx context.Context, res *report.Result, measure string, contests ...*contest) error {
	var (
		crowd clients.Crowd
		want  []int64
	)
	for _, c := range contests {
		sd := c.sides[0]
		crowd = append(crowd, sd.crowd...)
		want = append(want, alike(c.members*len(sd.crowd), sd.sent)...)
	}
	got, err := counted(ctx, crowd)
	if err != nil {
		return err
	}
	checkCounts(res, measure, got, want)
	return nil
}

// report adds what the rounds say: the sides in the order given, ratios to the bare loop when it took part.
func (c *contest) report(res *report.Result, maxRatio float64) {
	for _, sd := range c.sides {
		last := measure.Median(sd.last)
		res.Add(sd.name+", last socket, median", last, "ms", fmt.Sprintf("best %.1f, worst %.1f",
			measure.Quantile(sd.last, 0), measure.Quantile(sd.last, 1)))
		res.Add(sd.name+", rate", float64(c.members*len(sd.crowd))/last*1000, "deliveries/s", "")
		res.Took(sd.name, sd.took)
		res.Costs = append(res.Costs, c.cpu.cost(sd.name, "delivery", c.deliveries(sd)))
	}
	if len(c.sides) < 2 {
		return
	}
	ratios := make([]float64, c.rounds)
	for i := range ratios {
		ratios[i] = c.sides[0].last[i] / c.sides[1].last[i]
	}
	res.Check("last socket, times the bare loop", measure.Median(ratios), "", report.AtMost(maxRatio),
		"median of the rounds' ratios")
	mine, bare := c.cpu.cost(sideImtier, "", c.deliveries(c.sides[0])), c.cpu.cost(sideBare, "", c.deliveries(c.sides[1]))
	res.Add("processor time, times the bare loop", mine.Micros()/bare.Micros(), "", "all processes, clients too")
}

func envelope(round int, data []byte) *protocol.Envelope {
	return &protocol.Envelope{ID: fmt.Sprintf("round-%d", round), From: "bench", Time: time.Now().UnixMilli(), Data: data}
}

// place is an imserver and the fleet that connects to it.
type place struct {
	srv   *procs.Server
	fleet clients.Remote
}

// places starts nodes with a fleet each, and counts what they spend.
func (s *stage) places(ctx context.Context, nodes int, cpu *account) ([]place, error) {
	out := make([]place, nodes)
	for i := range out {
		srv, err := s.imserver(ctx)
		if err != nil {
			return nil, err
		}
		fleet, err := s.fleet(ctx)
		if err != nil {
			return nil, err
		}
		cpu.add("imserver", srv.PID())
		cpu.add("clients", fleet.W.PID())
		out[i] = place{srv, fleet}
	}
	return out, nil
}

// crowd is the places' fleets.
func crowd(ps []place) clients.Crowd {
	out := make(clients.Crowd, len(ps))
	for i, p := range ps {
		out[i] = p.fleet
	}
	return out
}

// bareSide starts as many bare loops as there are nodes, each with so many connections.
func (s *stage) bareSide(ctx context.Context, nodes, conns int, cpu *account) (*side, error) {
	loops := make([]bare.Fanout, nodes)
	urls := make([]string, nodes)
	sd := &side{name: sideBare}
	for i := range loops {
		w, err := s.worker(ctx, bare.FanoutRole)
		if err != nil {
			return nil, err
		}
		loops[i] = bare.Fanout{W: w}
		if urls[i], err = loops[i].URL(); err != nil {
			return nil, err
		}
		fleet, err := s.fleet(ctx)
		if err != nil {
			return nil, err
		}
		cpu.add("bare", w.PID())
		cpu.add("clients", fleet.W.PID())
		sd.crowd = append(sd.crowd, fleet)
	}
	sd.publish = func(_ context.Context, _ int, frame []byte) error { return bare.WriteAll(loops, frame) }
	_, err := sd.crowd.Open(func(i int) clients.Plan {
		return clients.Plan{URL: urls[i], Count: conns, Parallel: s.c.Parallel}
	})
	return sd, err
}
