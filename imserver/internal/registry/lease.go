package registry

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/clock"
	"github.com/imtier/imtier/pkg/beat"
	"github.com/imtier/imtier/pkg/store"
)

const (
	// renewInterval is as short as that counts of groups leave a node out that has not renewed for some 1.6 s.
	renewInterval = 500 * time.Millisecond
	// renewTimeout keeps one slow renewal from eating the lease.
	renewTimeout = 3 * time.Second
	// staleAfter is when a node whose renewals fail calls itself unready: webapi has stopped offering it.
	staleAfter = 3 * time.Second
	// settleTime is longer than admitting a connection takes.
	settleTime = 5 * time.Second
)

var errNoLease = errors.New("the lease in redis is not renewed")

// Lease keeps the node's entry in the registry alive.
type Lease struct {
	Store   *store.Store
	NewID   func() string // names an incarnation of this node
	Node    store.Node    // URL and Started
	Log     *zap.Logger
	Count   func() int                  // connections now
	Restore func(context.Context) error // registers all connections again, under the ID of now; an error is the context's
	Compare func(context.Context) error // makes what Redis has registered and what is open here the same; likewise
	Drain   func()                      // called when an operator asked for it; may be called again

	taken    time.Time                   // when the lease was taken, by Redis' clock; Run's alone, after Register
	repair   func(context.Context) error // what has to be done about the connections, if not nil; Run's alone
	stop     func()                      // ends doing it and waits, if not nil; Run's alone
	id       atomic.Pointer[string]
	struck   atomic.Pointer[string] // the last ID that was found to be struck off
	draining atomic.Bool
	renewed  atomic.Int64 // see clock; zero: never
}

// ID is the node's name in the registry. It changes when the node was claimed: others clear up after the old name.
func (l *Lease) ID() string { return *l.id.Load() }

// URL is what clients dial.
func (l *Lease) URL() string { return l.Node.URL }

// Rename takes a new ID; for the first time before anything runs.
func (l *Lease) Rename() {
	id := l.NewID()
	l.id.Store(&id)
}

// Register takes the lease for the first time.
func (l *Lease) Register(ctx context.Context) error {
	state, err := l.renew(ctx)
	l.taken = state.Taken
	return err
}

// StruckOff tells that others have signed off connections under an ID. If it is still this node's it takes another one with
// the next renewal.
func (l *Lease) StruckOff(id string) { l.struck.Store(&id) }

// Run renews the lease until ctx ends.
func (l *Lease) Run(ctx context.Context) {
	tick := time.NewTimer(beat.Until(renewInterval))
	defer tick.Stop()
	defer l.endRepair()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tick.Reset(beat.Until(renewInterval))
		}
		err := l.once(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			l.Log.Warn("renew the lease, will retry", zap.Error(err))
		}
		if err == nil && failing {
			l.Log.Info("lease renewed again")
		}
		failing = err != nil
	}
}

// once renews the lease. One that ran out, because this node was paused or Redis away, is taken again, and what Redis has
// registered compared. But when others have claimed the node they sign its connections off, perhaps at this moment: so all are
// registered again under a new ID, which they do not touch.
func (l *Lease) once(ctx context.Context) error {
	state, err := l.renew(ctx)
	if err != nil {
		return err
	}
	struck := l.struck.Load()
	switch {
	case state.Claimed || struck != nil && *struck == l.ID():
		old := l.ID()
		l.Rename()
		l.Log.Warn("others have taken this node for dead, registering all connections again", zap.String("old_node", old), zap.String("node", l.ID()))
		l.repair = l.Restore
		if state, err = l.renew(ctx); err != nil {
			return err
		}
	case !state.Taken.Equal(l.taken) && l.repair == nil:
		l.Log.Warn("the lease ran out, comparing all connections", zap.String("node", l.ID()))
		l.repair = l.Compare
	}
	l.taken = state.Taken
	if l.repair != nil {
		l.beginRepair(ctx, l.repair)
		l.repair = nil
	}
	if state.Drain {
		l.Drain()
	}
	return nil
}

// beginRepair registers or compares all connections while the lease is being renewed: it may take longer than a lease lasts.
// Those that were being admitted meanwhile may have come in under the old ID after the others were looked at; so it is done
// twice. What is still under way for an earlier reason ends.
func (l *Lease) beginRepair(ctx context.Context, repair func(context.Context) error) {
	l.endRepair()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	l.stop = func() { cancel(); <-done }
	go func() {
		defer close(done)
		settled := time.After(settleTime)
		if repair(ctx) != nil {
			return
		}
		select {
		case <-settled:
			_ = repair(ctx) // fails only when told to end
		case <-ctx.Done():
		}
	}()
}

func (l *Lease) endRepair() {
	if l.stop != nil {
		l.stop()
	}
}

func (l *Lease) renew(ctx context.Context) (store.RenewState, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	n := l.Node
	n.ID = l.ID()
	n.Conns, n.Draining = l.Count(), l.draining.Load()
	state, err := l.Store.RenewNode(ctx, n)
	if err == nil && !state.Claimed {
		l.renewed.Store(clock.Millis(time.Now()))
	}
	return state, err
}

// SetDraining tells others, now and at every renewal, that no new connection should come here.
func (l *Lease) SetDraining(ctx context.Context) error {
	l.draining.Store(true)
	_, err := l.renew(ctx)
	return err
}

// Ready returns nil while the lease is fresh.
func (l *Lease) Ready() error {
	if at := l.renewed.Load(); at == 0 || time.Since(clock.Time(at)) > staleAfter {
		return errNoLease
	}
	return nil
}
