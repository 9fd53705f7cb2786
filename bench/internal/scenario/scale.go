package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/report"
	"github.com/imtier/imtier/pkg/store"
)

// Scale measures what one delivery costs the servers, against the number of sockets on a node, of nodes, and of groups
// of each client.
type Scale struct {
	Common
	Sockets    sizes
	Nodes      sizes
	Groups     sizes
	PerNode    int
	Members    int
	Deliveries int
	MaxSpread  float64
}

// Register puts the flags into fs.
func (o *Scale) Register(fs *flag.FlagSet) error {
	o.Sockets, o.Nodes, o.Groups = sizes{1000, 4000, 18000}, sizes{1, 4, 16, 55}, sizes{1, 100, 1000}
	fs.Var(&o.Sockets, "sockets", "`sizes` of one node, with commas; none skips this part")
	fs.Var(&o.Nodes, "nodes", "`numbers` of nodes")
	fs.IntVar(&o.PerNode, "per-node", 1000, "sockets of each of several nodes")
	fs.Var(&o.Groups, "groups", "`numbers` of groups that each client is a member of")
	fs.IntVar(&o.Members, "members", 200, "clients that are members of all groups")
	fs.IntVar(&o.Deliveries, "deliveries", 100_000, "deliveries to count at each size, about")
	fs.Float64Var(&o.MaxSpread, "max-spread", 0.15, "most distance of a cost from the middle of the least and the greatest, as a share")
	return o.Common.Register(fs)
}

const (
	scalePause = 20 * time.Millisecond // between messages
	scaleSize  = 150                   // bytes of data
	scaleV1    = 50                    // percent of the connections that speak imtier.v1
	// scaleTurns is how often each size is measured, minRounds how many messages at least, in all turns.
	scaleTurns = 5
	minRounds  = 10
)

// part is what grows, and how to start the side that is measured at a size; it also returns the clients of each fleet.
type part struct {
	name, unit string
	sizes      sizes
	side       func(ctx context.Context, s *stage, cpu *account, n int) (*side, int, error)
}

// Check tells what is wrong with the flags.
func (o *Scale) Check() error {
	err := errors.Join(o.Common.Check(), atLeast("per-node", o.PerNode, 1), atLeast("members", o.Members, 1),
		atLeast("deliveries", o.Deliveries, 1))
	if o.RedisURL != "" {
		err = errors.Join(err, errors.New("scale starts a Redis for each size, whose processor time counts: not with -redis"))
	}
	if len(o.Sockets)+len(o.Nodes)+len(o.Groups) == 0 {
		err = errors.Join(err, errors.New("no size is left of -sockets, -nodes and -groups"))
	}
	return err
}

// Run measures.
func (o *Scale) Run(ctx context.Context, p *report.Progress) (*report.Result, error) {
	res := report.New("scale", fmt.Sprintf("processor time for one delivery as imtier grows, %d deliveries at each size", o.Deliveries))
	for _, pt := range []part{
		{"sockets of one node", "sockets", o.Sockets, func(ctx context.Context, s *stage, cpu *account, n int) (*side, int, error) {
			sd, err := s.everyone(ctx, 1, cpu, clients.Plan{Count: n, V1: n * scaleV1 / 100})
			return sd, n, err
		}},
		{"nodes", "nodes", o.Nodes, func(ctx context.Context, s *stage, cpu *account, n int) (*side, int, error) {
			sd, err := s.everyone(ctx, n, cpu, clients.Plan{Count: o.PerNode, V1: o.PerNode * scaleV1 / 100})
			return sd, o.PerNode, err
		}},
		{"groups of each client", "groups", o.Groups, o.inGroups},
	} {
		if len(pt.sizes) == 0 {
			continue
		}
		if err := o.measure(ctx, p, res, pt); err != nil {
			return res, fmt.Errorf("%s: %w", pt.name, err)
		}
	}
	return res, nil
}

// spreadOf is how far the least and the greatest cost are from the middle between them, as a share of it.
func spreadOf(points []report.Point) float64 {
	low, high := points[0].Y, points[0].Y
	for _, p := range points {
		low, high = min(low, p.Y), max(high, p.Y)
	}
	return (high - low) / (high + low)
}

// measure measures a part. All its sizes run at the same time and are measured in turn: what else the machine does then
// falls on all of them, and not on one.
func (o *Scale) measure(ctx context.Context, p *report.Progress, res *report.Result, pt part) error {
	contests := make([]*contest, len(pt.sizes))
	for i, n := range pt.sizes {
		p.Say("scale: %d %s …", n, pt.unit)
		s, err := newStage(ctx, o.Common, p)
		if err != nil {
			return err
		}
		defer s.close()
		cpu := s.account("publisher")
		sd, each, err := pt.side(ctx, s, cpu, n)
		if err != nil {
			return err
		}
		contests[i] = &contest{sides: []*side{sd}, size: scaleSize, members: each, pause: scalePause, cpu: cpu}
		contests[i].rounds = max(minRounds, o.Deliveries/(each*len(sd.crowd))) / scaleTurns
	}
	for turn := range scaleTurns {
		p.Say("scale: %s, turn %d of %d …", pt.name, turn+1, scaleTurns)
		for _, c := range contests {
			if err := c.run(ctx); err != nil {
				return err
			}
		}
	}
	series := report.Series{Name: pt.name, X: pt.unit, Y: "µs of imserver and redis for one delivery"}
	for i, c := range contests {
		cost := c.cpu.cost(sideImtier, "delivery", scaleTurns*c.deliveries(c.sides[0]))
		cost.Work = fmt.Sprintf("%d %s", pt.sizes[i], pt.unit)
		res.Costs = append(res.Costs, cost)
		series.Points = append(series.Points, report.Point{X: float64(pt.sizes[i]), Y: cost.Of("imserver") + cost.Of("redis")})
	}
	res.Series = append(res.Series, series)
	res.Check("cost of a delivery, spread over "+pt.name, spreadOf(series.Points), "", report.AtMost(o.MaxSpread), pt.sizes.String())
	return exact(ctx, res, lostOrMore+", "+pt.name, contests...)
}

// inGroups starts clients that are all members of n groups, to which is sent in turn.
func (o *Scale) inGroups(ctx context.Context, s *stage, cpu *account, n int) (*side, int, error) {
	st, err := s.store(ctx)
	if err != nil {
		return nil, 0, err
	}
	if err := o.join(ctx, st, n); err != nil {
		return nil, 0, err
	}
	ps, err := s.places(ctx, 1, cpu)
	if err != nil {
		return nil, 0, err
	}
	_, err = ps[0].fleet.Open(clients.Plan{
		URL: ps[0].srv.URL, Keys: s.keys, Count: o.Members, V1: o.Members * scaleV1 / 100, Parallel: o.Parallel,
	})
	return &side{name: sideImtier, crowd: crowd(ps), publish: func(ctx context.Context, round int, data []byte) error {
		_, err := st.PublishGroup(ctx, envelope(round, data), clients.GroupName(round%n), false)
		return err
	}}, o.Members, err
}

const (
	// joinSenders is how many clients are made members at the same time, joinLot of how many groups in one call: a call of
	// thousands would keep Redis busy for longer than callers wait.
	joinSenders = 4
	joinLot     = 100
)

// join makes every client a member of n groups, before it connects.
func (o *Scale) join(ctx context.Context, st *store.Store, n int) error {
	groups := make([]string, n)
	for i := range groups {
		groups[i] = clients.GroupName(i)
	}
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	for w := range joinSenders {
		wg.Go(func() {
			for i := w; i < o.Members && ctx.Err() == nil; i += joinSenders {
				for lot := range slices.Chunk(groups, joinLot) {
					if _, err := st.JoinGroups(ctx, clients.ClientID(i), lot, store.JoinOptions{}); err != nil {
						once.Do(func() { first = err })
						return
					}
				}
			}
		})
	}
	wg.Wait()
	return first
}

// sizes is a flag of numbers with commas.
type sizes []int

func (s *sizes) String() string {
	words := make([]string, len(*s))
	for i, n := range *s {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}

// Set reads the flag; nothing is no size.
func (s *sizes) Set(text string) error {
	*s = nil
	for word := range strings.SplitSeq(text, ",") {
		if word == "" {
			continue
		}
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no size", word)
		}
		*s = append(*s, n)
	}
	return nil
}
