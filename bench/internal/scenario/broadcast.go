package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/report"
)

// Broadcast measures how long one message takes to every client of several nodes, next to as many bare loops that
// write the same frame to as many sockets.
type Broadcast struct {
	Common
	Nodes    int
	PerNode  int
	Rounds   int
	Size     int // bytes of data
	V1       int // percent
	Baseline bool
	MaxRatio float64
}

// Register puts the flags into fs.
func (o *Broadcast) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.Nodes, "nodes", 2, "imservers")
	fs.IntVar(&o.PerNode, "per-node", 10000, "connections to each")
	fs.IntVar(&o.Rounds, "rounds", 10, "messages, one after the other")
	fs.IntVar(&o.Size, "size", 150, "bytes of a message's data")
	fs.IntVar(&o.V1, "v1", 0, "percent of the connections that speak imtier.v1")
	fs.BoolVar(&o.Baseline, "baseline", true, "compare with bare loops of write(2), in turn")
	fs.Float64Var(&o.MaxRatio, "max-ratio", 1.15, "most time to the last socket, as a multiple of the bare loops'")
	return o.Common.Register(fs)
}

// Check tells what is wrong with the flags.
func (o *Broadcast) Check() error {
	return errors.Join(o.Common.Check(), atLeast("nodes", o.Nodes, 1), atLeast("per-node", o.PerNode, 1),
		atLeast("rounds", o.Rounds, 1), among("size", o.Size, minSize, maxSize), percent("v1", o.V1))
}

// Run measures.
func (o *Broadcast) Run(ctx context.Context, p *report.Progress) (*report.Result, error) {
	res := report.New("broadcast", fmt.Sprintf("one message of %d bytes to all %d clients of %d imservers, %d rounds",
		o.Size, o.Nodes*o.PerNode, o.Nodes, o.Rounds))
	if err := checkFiles(o.PerNode); err != nil {
		return res, err
	}
	s, err := newStage(ctx, o.Common, p)
	if err != nil {
		return res, err
	}
	defer s.close()
	defer s.tell(res)
	c := &contest{rounds: o.Rounds, size: o.Size, members: o.PerNode, pause: roundPause, cpu: s.account("publisher")}
	p.Say("broadcast: opening %d connections to each of %d nodes …", o.PerNode, o.Nodes)
	im, err := s.everyone(ctx, o.Nodes, c.cpu, clients.Plan{Count: o.PerNode, V1: o.PerNode * o.V1 / 100})
	if err != nil {
		return res, err
	}
	c.sides = append(c.sides, im)
	if o.Baseline {
		p.Say("broadcast: opening as many to the bare loops …")
		loop, err := s.bareSide(ctx, o.Nodes, o.PerNode, c.cpu)
		if err != nil {
			return res, err
		}
		c.sides = append(c.sides, loop)
	}
	p.Say("broadcast: %d rounds …", o.Rounds)
	if err := c.run(ctx); err != nil {
		return res, err
	}
	c.report(res, o.MaxRatio)
	return res, exact(ctx, res, lostOrMore, c)
}

// everyone starts nodes with the planned clients each, and sends to all of them.
func (s *stage) everyone(ctx context.Context, nodes int, cpu *account, plan clients.Plan) (*side, error) {
	st, err := s.store(ctx)
	if err != nil {
		return nil, err
	}
	ps, err := s.places(ctx, nodes, cpu)
	if err != nil {
		return nil, err
	}
	sd := &side{name: sideImtier, crowd: crowd(ps), publish: func(ctx context.Context, round int, data []byte) error {
		_, err := st.PublishAll(ctx, envelope(round, data), false)
		return err
	}}
	_, err = sd.crowd.Open(func(i int) clients.Plan {
		p := plan
		p.URL, p.Keys, p.First, p.Parallel = ps[i].srv.URL, s.keys, i*plan.Count, s.c.Parallel
		return p
	})
	return sd, err
}
