package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// Resume measures how long clients that were away need to have what they missed, all coming back at once.
type Resume struct {
	Common
	N       int
	Missed  int
	MaxTime time.Duration
	Profile string // file for a CPU profile of the imserver; empty: none
}

// Register puts the flags into fs.
func (o *Resume) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.N, "n", 10000, "clients, all imtier.v1")
	fs.IntVar(&o.Missed, "missed", 20, "messages that each client missed")
	fs.DurationVar(&o.MaxTime, "max-time", 5*time.Second, "limit from the first handshake to the last message")
	fs.StringVar(&o.Profile, "profile", "", "file in which to store a CPU profile of the imserver, of -max-time from the return on")
	return o.Common.Register(fs)
}

// Check tells what is wrong with the flags.
func (o *Resume) Check() error {
	return errors.Join(o.Common.Check(), atLeast("n", o.N, 1), atLeast("missed", o.Missed, 1), lasts("max-time", o.MaxTime))
}

const (
	// emptyLimit is how long a server may take to notice that all clients have left.
	emptyLimit = 30 * time.Second
	// settleTime passes before messages are counted once more: one too many would come about now.
	settleTime = time.Second
	publishLot = 1000 // publications given to the store at once
	// unsure is the name of the goal that servers prove to everybody who comes back that nothing is missing.
	unsure = "streams that clients could not resume for sure"
)

// Run measures.
func (o *Resume) Run(ctx context.Context, p *report.Progress) (*report.Result, error) {
	res := report.New("resume", fmt.Sprintf("%d clients come back to one imserver, having missed %d messages each", o.N, o.Missed))
	if err := checkFiles(o.N); err != nil {
		return res, err
	}
	s, err := newStage(ctx, o.Common, p)
	if err != nil {
		return res, err
	}
	defer s.close()
	defer s.tell(res)
	st, err := s.store(ctx)
	if err != nil {
		return res, err
	}
	cpu := s.account("driver")
	ps, err := s.places(ctx, 1, cpu)
	if err != nil {
		return res, err
	}
	srv, fleet := ps[0].srv, ps[0].fleet
	plan := clients.Plan{URL: srv.URL, Keys: s.keys, Count: o.N, V1: o.N, Parallel: o.Parallel, Resumes: true}
	p.Say("resume: opening %d connections, then closing them …", o.N)
	first, err := fleet.Open(plan)
	if err != nil {
		return res, err
	}
	if err := o.goAway(ctx, srv, fleet); err != nil {
		return res, err
	}
	p.Say("resume: sending %d messages to each …", o.Missed)
	if err := o.send(ctx, st); err != nil {
		return res, err
	}
	if _, _, err := fleet.Took(); err != nil { // forgets the first time
		return res, err
	}
	if err := cpu.begin(); err != nil {
		return res, err
	}
	p.Say("resume: all come back …")
	plan.Messages = int64(o.N * o.Missed)
	profiled := profile(ctx, srv, o.Profile, o.MaxTime)
	back, err := fleet.Open(plan)
	if err != nil {
		return res, err
	}
	if err := cpu.end("resume"); err != nil {
		return res, err
	}
	connects, _, err := fleet.Took()
	if err != nil {
		return res, err
	}
	res.Check("until the last has everything", back.Elapsed.Seconds(), "s", report.AtMost(o.MaxTime.Seconds()), retried(back))
	res.Add("the first time, nothing missed", first.Elapsed.Seconds(), "s", retried(first))
	res.Add("messages", float64(plan.Messages)/back.Elapsed.Seconds(), "/s", "")
	if err := o.exact(ctx, res, clients.Crowd{fleet}); err != nil {
		return res, err
	}
	res.Took("handshake", connects)
	res.Costs = append(res.Costs, cpu.cost("resume", "client", int64(o.N)))
	return res, profiled()
}

// exact adds whether every client has what it missed, and could be sure of it: to be told that something may be missing,
// or everything again, is quick as well.
func (o *Resume) exact(ctx context.Context, res *report.Result, crowd clients.Crowd) error {
	got, err := counted(ctx, crowd)
	if err != nil {
		return err
	}
	checkCounts(res, lostOrMore, got, alike(o.N, int64(o.Missed)))
	stats, err := crowd.Stats()
	if err != nil {
		return err
	}
	res.Check("messages twice or out of order", float64(stats.Repeated), "", report.AtMost(0), "")
	res.Check(unsure, float64(stats.Unproved), "", report.AtMost(0), "")
	return nil
}

// goAway closes all connections and waits until the server has noticed.
func (o *Resume) goAway(ctx context.Context, srv *procs.Server, fleet clients.Remote) error {
	if err := fleet.Leave(); err != nil {
		return err
	}
	for end := time.Now().Add(emptyLimit); ; {
		state, err := srv.State(ctx)
		switch {
		case err != nil:
			return err
		case state.Connections == 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%d connections are left after %v", state.Connections, emptyLimit)
		}
		if err := pause(ctx, roundPause); err != nil {
			return err
		}
	}
}

// send puts the messages into the inboxes.
func (o *Resume) send(ctx context.Context, st *store.Store) error {
	var pubs []store.Publication
	flush := func() error {
		for _, r := range st.PublishMany(ctx, pubs) {
			if r.Err != nil {
				return r.Err
			}
		}
		pubs = pubs[:0]
		return nil
	}
	for n := range o.Missed {
		for i := range o.N {
			pubs = append(pubs, store.Publication{
				Envelope: &protocol.Envelope{ID: protocol.NewID(), From: "bench", Time: time.Now().UnixMilli(), Data: clients.Data(n, sendSize)},
				Kind:     protocol.Inbox, To: []string{clients.ClientID(i)},
			})
			if len(pubs) == publishLot {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}
