package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"time"

	"github.com/imtier/imtier/bench/internal/machine"
	"github.com/imtier/imtier/bench/internal/report"
)

// Million measures a whole installation on one machine: many nodes, each with as many clients as a process may open
// files. The clients connect, get broadcasts and direct messages, and those of a node that is killed resume on the others.
type Million struct {
	Common
	Nodes, PerNode int
	AtOnce         int // nodes whose clients come in at the same time
	V1             int // percent
	PingInterval   time.Duration
	Rounds         int // broadcasts
	Size           int // bytes of a broadcast's data
	Directs        int // messages to random clients
	Rate           int // of them, a second
	MissBroadcast  bool
	Quiet          time.Duration
	Profiles       string // folder for profiles of the last node; empty: none

	MaxMemory, MaxServers float64 // GB
	MaxRatio              float64
	MaxTime               time.Duration
}

// Register puts the flags into fs.
func (o *Million) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.Nodes, "nodes", 55, "imservers")
	fs.IntVar(&o.PerNode, "per-node", 18200, "clients of each")
	fs.IntVar(&o.AtOnce, "at-once", 2, "nodes whose clients come in at the same time")
	fs.IntVar(&o.V1, "v1", 100, "percent of the connections that speak imtier.v1; all of the node that is killed do, since raw ones do not resume")
	fs.DurationVar(&o.PingInterval, "ping-interval", 5*time.Minute, "the imservers' IM_PING_INTERVAL")
	fs.IntVar(&o.Rounds, "rounds", 3, "broadcasts before a node is killed, and of the bare loops")
	fs.IntVar(&o.Size, "size", 150, "bytes of a broadcast's data")
	fs.IntVar(&o.Directs, "directs", 10000, "direct messages to random clients")
	fs.IntVar(&o.Rate, "rate", 1000, "direct messages a second")
	fs.BoolVar(&o.MissBroadcast, "miss-broadcast", false, "the clients of the killed node miss a broadcast too; its deliveries to all others then compete with their return")
	fs.DurationVar(&o.Quiet, "quiet", 8*time.Second, "how long to wait before memory counts: servers give it back some seconds after a burst")
	fs.StringVar(&o.Profiles, "profiles", "", "folder in which to store heap and CPU profiles of one node when all clients are connected")
	fs.Float64Var(&o.MaxMemory, "max-memory", 15, "limit of all memory in use for a million, in GB; in proportion for fewer")
	fs.Float64Var(&o.MaxServers, "max-servers", 9, "limit of the servers' part of it, in GB; in proportion for fewer")
	fs.Float64Var(&o.MaxRatio, "max-ratio", 1.15, "limit of a broadcast's time to the last socket, as a multiple of the bare loops'")
	fs.DurationVar(&o.MaxTime, "max-time", 10*time.Minute, "limit of a whole pass with a million clients or more, the bare loops too; a smaller one has none")
	return o.Common.Register(fs)
}

// Check tells what is wrong with the flags.
func (o *Million) Check() error {
	return errors.Join(o.Common.Check(), among("nodes", o.Nodes, machine.MinNodes, maxNodes), atLeast("per-node", o.PerNode, 1),
		atLeast("at-once", o.AtOnce, 1), percent("v1", o.V1), lasts("ping-interval", o.PingInterval), atLeast("rounds", o.Rounds, 1),
		among("size", o.Size, minSize, maxSize), atLeast("directs", o.Directs, 1), atLeast("rate", o.Rate, 1), atLeast("quiet", o.Quiet, 0), lasts("max-time", o.MaxTime))
}

// million is the size for which the limits of memory are given.
const million = 1_000_000

// share is the part of a million that a size is.
func share(size machine.Size) float64 { return min(1, float64(size.Connections())/million) }

// Run measures.
func (o *Million) Run(ctx context.Context, p *report.Progress) (*report.Result, error) {
	res := report.New("million", "")
	size, err := o.fit(p)
	res.Title = fmt.Sprintf("%d nodes with %d clients each, %d in all, on one machine", size.Nodes, size.PerNode, size.Connections())
	if err = errors.Join(err, profileFolder(o.Profiles)); err != nil {
		return res, err
	}
	if size.Connections() < o.Nodes*o.PerNode {
		res.Add("scaled down from", float64(o.Nodes*o.PerNode), "connections", "this machine holds no more")
	}
	last, frame, err := o.imtier(ctx, p, size, res)
	if err != nil {
		return res, err
	}
	res.Add("until everything was counted", time.Since(res.Began).Seconds(), "s", "")
	if err := o.bare(ctx, p, size, frame, last, res); err != nil {
		return res, err
	}
	o.whole(res, size, time.Since(res.Began))
	return res, nil
}

// whole adds how long a pass took, for which there is a limit at full size only.
func (o *Million) whole(res *report.Result, size machine.Size, took time.Duration) {
	const measure, note = "all of it", "with the bare loops"
	if size.Connections() < million {
		res.Add(measure, took.Seconds(), "s", note)
		return
	}
	res.Check(measure, took.Seconds(), "s", report.AtMost(o.MaxTime.Seconds()), note)
}

// fit compares the size with the machine's limits and makes it smaller when it has to be.
func (o *Million) fit(p *report.Progress) (machine.Size, error) {
	want := machine.Size{Nodes: o.Nodes, PerNode: o.PerNode}
	m, err := machine.Read()
	if err != nil {
		return want, err
	}
	size, advice := machine.Fit(want, m)
	for _, a := range append(advice, machine.Warnings(size, m)...) {
		p.Say("million: %s", a)
	}
	if size.PerNode < 1 {
		return size, fmt.Errorf("this machine is too small for %d connections", want.Connections())
	}
	if size != want {
		p.Say("million: scaled down from %d × %d to %d × %d = %d connections", want.Nodes, want.PerNode, size.Nodes, size.PerNode, size.Connections())
	}
	return size, nil
}

// millionNice is how far imservers and clients let Redis and webapi go first. Otherwise each of 110 programs gets as much of two
// processors as Redis, which then answers after seconds, and sends are refused with 503.
const millionNice = 10

// procsEach is how many processors each of several nodes uses, as it should where nodes share a machine: with more, Go wakes threads
// that have to wait for a processor.
func procsEach(nodes int) int { return max(1, runtime.NumCPU()/nodes) }

// imtier measures the product. It returns how long broadcasts took to the last client, and a frame of one as it arrived.
func (o *Million) imtier(ctx context.Context, p *report.Progress, size machine.Size, res *report.Result) (last []float64, frame []byte, err error) {
	s, err := newStage(ctx, o.Common, p)
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	s.nice, s.procs = millionNice, procsEach(size.Nodes)
	c, err := o.start(ctx, s, size)
	if err != nil {
		return nil, nil, err
	}
	if err := o.connect(ctx, c, res); err != nil {
		return nil, nil, err
	}
	if err := o.settle(ctx, c, res); err != nil {
		return nil, nil, err
	}
	if err := o.direct(ctx, c, res); err != nil {
		return nil, nil, err
	}
	if last, frame, err = o.broadcasts(ctx, c, res); err != nil {
		return nil, nil, err
	}
	if err := o.kill(ctx, c, res); err != nil {
		return nil, nil, err
	}
	if err := o.interrupt(ctx, c, res); err != nil {
		return nil, nil, err
	}
	if err := o.check(ctx, c, res); err != nil {
		return nil, nil, err
	}
	return last, frame, c.end()
}
