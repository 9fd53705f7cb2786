package scenario

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/imtier/imtier/bench/internal/bare"
	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/machine"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/report"
)

const (
	// bareParallel is how many clients of a process connect to a bare loop at once: nothing is waited for.
	bareParallel = 2
	// bareOpenLimit is how long a bare loop may take to accept the last of its clients.
	bareOpenLimit = time.Minute
)

// bare writes the same frame to as many sockets of as many processes, and compares. imtier is gone by then: both do not
// fit into memory. There is no handshake, since only writing counts.
func (o *Million) bare(ctx context.Context, p *report.Progress, size machine.Size, frame []byte, imtier []float64, res *report.Result) error {
	s := &stage{c: o.Common, p: p, nice: millionNice, procs: procsEach(size.Nodes)}
	defer s.close()
	w, err := startWatch()
	if err != nil {
		return err
	}
	defer w.stop()
	cpu := s.account("driver")
	loops, fleets := make([]bare.Fanout, 0, size.Nodes), make(clients.Crowd, 0, size.Nodes)
	defer func() { killAll(loops, fleets) }()
	p.Say("million: as many connections to bare loops …")
	for i := range size.Nodes {
		worker, err := s.worker(ctx, bare.FanoutRole)
		if err != nil {
			return err
		}
		fleet, err := s.fleet(ctx)
		if err != nil {
			return err
		}
		loops, fleets = append(loops, bare.Fanout{W: worker}), append(fleets, fleet)
		cpu.add(bareName, worker.PID())
		cpu.add(clientName, fleet.W.PID())
		plan := clients.Plan{Bare: true, Count: size.PerNode, Parallel: bareParallel, Resumes: true} // so that clients do the same with a message
		if err := connectBare(ctx, loops[i], fleet, plan); err != nil {
			return fmt.Errorf("bare loop %d: %w", i, err)
		}
	}
	var last []float64
	for round := 1; round <= o.Rounds; round++ {
		frame = clients.WithRound(frame, round)
		took, _, err := toAll(ctx, fleets, cpu, sideBare, round, size.PerNode, func(begin time.Time) error {
			clients.Stamp(frame, begin)
			return bare.WriteAll(loops, frame)
		})
		if err != nil {
			return fmt.Errorf("bare loops: %w", err)
		}
		last = append(last, took)
		p.Say("million: bare loops: the last client had it after %.2f s", took)
	}
	reportRounds(res, cpu, sideBare, last, size.Connections())
	_, took, err := fleets.Took()
	if err != nil {
		return err
	}
	res.Took("broadcast, bare loops", took)
	res.Costs = append(res.Costs, cpu.cost(sideBare, "delivery", int64(o.Rounds)*int64(size.Connections())))
	mine, theirs := res.Cost(sideImtier), res.Cost(sideBare)
	res.Add("processor time of a delivery, times the bare loops", mine.Micros()/theirs.Micros(), "", "all processes, clients too")
	res.Check("broadcast to the last socket, times the bare loops", measure.Median(imtier)/measure.Median(last), "", report.AtMost(o.MaxRatio), "medians")
	now := w.now()
	res.Add("bare loops, all memory in use", inGB(now.unavailable), "GB", fmt.Sprintf("%.2f GB with all of the kernel's objects", inGB(now.used)))
	return nil
}

// connectBare returns when the loop has accepted all of the fleet's clients.
func connectBare(ctx context.Context, loop bare.Fanout, fleet clients.Remote, plan clients.Plan) (err error) {
	if err := loop.Plain(); err != nil {
		return err
	}
	if plan.URL, err = loop.URL(); err != nil {
		return err
	}
	if _, err := fleet.Open(plan); err != nil {
		return err
	}
	for end := time.Now().Add(bareOpenLimit); ; {
		n, err := loop.Connections()
		switch {
		case err != nil:
			return err
		case n == plan.Count:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%d of %d clients were accepted", n, plan.Count)
		}
		if err := pause(ctx, openWait); err != nil {
			return err
		}
	}
}

// openWait is how often is asked whether all clients were accepted.
const openWait = 10 * time.Millisecond

// killAll ends all processes at once.
func killAll(loops []bare.Fanout, fleets clients.Crowd) {
	var wg sync.WaitGroup
	for _, l := range loops {
		wg.Go(l.W.Kill)
	}
	for _, f := range fleets {
		wg.Go(f.W.Kill)
	}
	wg.Wait()
}
