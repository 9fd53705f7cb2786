package scenario

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
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

const (
	// emptyLimit is how long a server may take to notice that all clients have left.
	emptyLimit = 30 * time.Second
	// settleTime passes before messages are counted once more: one too many would come about now.
	settleTime = time.Second
	publishLot = 1000 // publications given to the store at once
)

// Run measures and prints.
func (o *Resume) Run(ctx context.Context, out io.Writer) error {
	s, err := newStage(ctx, o.Common, out)
	if err != nil {
		return err
	}
	defer s.close()
	srv, err := s.imserver(ctx)
	if err != nil {
		return err
	}
	st, err := s.store(ctx)
	if err != nil {
		return err
	}
	fleet, err := s.fleet(ctx)
	if err != nil {
		return err
	}
	plan := clients.Plan{URL: srv.URL, Keys: s.keys, Count: o.N, V1: o.N, Parallel: o.Parallel, Resumes: true}
	s.logf("resume: opening %d connections, then closing them …", o.N)
	first, err := fleet.Open(plan)
	if err != nil {
		return err
	}
	if err := o.goAway(ctx, srv, fleet); err != nil {
		return err
	}
	s.logf("resume: sending %d messages to each …", o.Missed)
	if err := o.send(ctx, st); err != nil {
		return err
	}
	cpu := newAccount()
	if s.ownRedis != nil {
		cpu.add("redis", s.ownRedis.PID())
	}
	cpu.add("imserver", srv.PID())
	cpu.add("clients", fleet.W.PID())
	if err := cpu.begin(); err != nil {
		return err
	}
	plan.Messages = int64(o.N * o.Missed)
	profiled := profile(ctx, srv, o.Profile, o.MaxTime)
	back, err := fleet.Open(plan)
	if err != nil {
		return err
	}
	if err := cpu.end("resume"); err != nil {
		return err
	}
	if err := pause(ctx, settleTime); err != nil {
		return err
	}
	stats, err := fleet.Stats()
	if err != nil {
		return err
	}
	if err := profiled(); err != nil {
		return err
	}
	return o.report(out, first, back, stats, cpu)
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

// report prints the table and compares with the limits.
func (o *Resume) report(out io.Writer, first, back clients.Opened, stats clients.Stats, cpu *account) error {
	want := int64(o.N * o.Missed)
	t := measure.NewTable(out, fmt.Sprintf("%d clients come back to one imserver, having missed %d messages each", o.N, o.Missed))
	t.Row("the first time, nothing missed", fmt.Sprintf("%.2f s", first.Elapsed.Seconds()), retried(first))
	t.Row("until the last has everything", fmt.Sprintf("%.2f s", back.Elapsed.Seconds()), retried(back), fmt.Sprintf("limit %v", o.MaxTime))
	t.Row("processor time, µs per client", cpu.each("resume", int64(o.N)))
	t.Row("messages", fmt.Sprintf("%d missed", want), fmt.Sprintf("%d arrived", stats.Messages))
	if err := t.Flush(); err != nil {
		return err
	}
	switch {
	case stats.Failure != "":
		return fmt.Errorf("a client failed: %s", stats.Failure)
	case stats.Messages != want:
		return fmt.Errorf("%d messages were missed and %d arrived", want, stats.Messages)
	case back.Elapsed > o.MaxTime:
		return fmt.Errorf("%v: %w of %v", back.Elapsed, ErrOver, o.MaxTime)
	}
	return nil
}
