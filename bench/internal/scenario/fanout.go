package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/report"
)

// Fanout measures how long one message takes to a large group on one node, next to a loop that does nothing but
// write the same frame to as many sockets.
type Fanout struct {
	Common
	Members  int
	Rounds   int
	Size     int // bytes of data
	V1       int // percent
	Baseline bool
	MaxRatio float64
}

// Register puts the flags into fs.
func (o *Fanout) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.Members, "n", 10000, "members of the group, each with a connection")
	fs.IntVar(&o.Rounds, "rounds", 20, "messages, one after the other")
	fs.IntVar(&o.Size, "size", 150, "bytes of a message's data")
	fs.IntVar(&o.V1, "v1", 0, "percent of the connections that speak imtier.v1")
	fs.BoolVar(&o.Baseline, "baseline", true, "compare with a bare loop of write(2), in turn")
	fs.Float64Var(&o.MaxRatio, "max-ratio", 1.18, "most time to the last socket, as a multiple of the bare loop's")
	return o.Common.Register(fs)
}

// Check tells what is wrong with the flags.
func (o *Fanout) Check() error {
	return errors.Join(o.Common.Check(), atLeast("n", o.Members, 1), atLeast("rounds", o.Rounds, 1),
		among("size", o.Size, minSize, maxSize), percent("v1", o.V1))
}

const fanoutGroup = "bench"

// Run measures.
func (o *Fanout) Run(ctx context.Context, p *report.Progress) (*report.Result, error) {
	res := report.New("fanout", fmt.Sprintf("one message of %d bytes to a group of %d on one imserver, %d rounds", o.Size, o.Members, o.Rounds))
	if err := checkFiles(o.Members); err != nil {
		return res, err
	}
	s, err := newStage(ctx, o.Common, p)
	if err != nil {
		return res, err
	}
	defer s.close()
	defer s.tell(res)
	c := &contest{rounds: o.Rounds, size: o.Size, members: o.Members, pause: roundPause, cpu: s.account("publisher")}
	p.Say("fanout: opening %d connections …", o.Members)
	im, err := o.imtier(ctx, s, c.cpu)
	if err != nil {
		return res, err
	}
	c.sides = append(c.sides, im)
	if o.Baseline {
		p.Say("fanout: opening %d connections to the bare loop …", o.Members)
		loop, err := s.bareSide(ctx, 1, o.Members, c.cpu)
		if err != nil {
			return res, err
		}
		c.sides = append(c.sides, loop)
	}
	p.Say("fanout: %d rounds …", o.Rounds)
	if err := c.run(ctx); err != nil {
		return res, err
	}
	c.report(res, o.MaxRatio)
	return res, exact(ctx, res, lostOrMore, c)
}

// imtier starts the side that is measured.
func (o *Fanout) imtier(ctx context.Context, s *stage, cpu *account) (*side, error) {
	st, err := s.store(ctx)
	if err != nil {
		return nil, err
	}
	ps, err := s.places(ctx, 1, cpu)
	if err != nil {
		return nil, err
	}
	_, err = ps[0].fleet.Open(clients.Plan{
		URL: ps[0].srv.URL, Keys: s.keys, Groups: []string{fanoutGroup}, Count: o.Members, V1: o.Members * o.V1 / 100,
		Parallel: o.Parallel,
	})
	return &side{name: sideImtier, crowd: crowd(ps), publish: func(ctx context.Context, round int, data []byte) error {
		_, err := st.PublishGroup(ctx, envelope(round, data), fanoutGroup, false)
		return err
	}}, err
}
