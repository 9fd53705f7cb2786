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
	Drain   func()                      // called when an operator asked for it; may be called again

	lost     bool   // connections must be registered again; Run's alone
	stop     func() // ends registering them and waits, if not nil; Run's alone
	id       atomic.Pointer[string]
	draining atomic.Bool
	renewed  atomic.Int64 // see clock; zero: never
}

// ID is the node's name in the registry. It changes when the lease was lost: others clear up after the old name.
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
	_, err := l.renew(ctx, true)
	return err
}

// Run renews the lease until ctx ends.
func (l *Lease) Run(ctx context.Context) {
	tick := time.NewTimer(beat.Until(renewInterval))
	defer tick.Stop()
	defer l.endRestoring()
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

// once renews the lease. A lease that is gone was lost while the node was paused or cut off: others sign its
// connections off, perhaps at this moment, so all are registered again under a new ID, which they do not touch.
func (l *Lease) once(ctx context.Context) error {
	state, err := l.renew(ctx, false)
	if err != nil {
		return err
	}
	if state.Gone {
		old := l.ID()
		l.Rename()
		l.Log.Warn("the lease was lost, registering all connections again", zap.String("old_node", old), zap.String("node", l.ID()))
		l.lost = true
		if _, err := l.renew(ctx, true); err != nil {
			return err
		}
	}
	if l.lost {
		l.lost = false
		l.beginRestoring(ctx)
	}
	if state.Drain {
		l.Drain()
	}
	return nil
}

// beginRestoring registers all connections again while the lease is being renewed: it may take longer than a lease lasts.
// Those that were being admitted meanwhile may have come in under the old ID after the others were looked at; so it is done
// twice. What is still under way for an earlier ID ends.
func (l *Lease) beginRestoring(ctx context.Context) {
	l.endRestoring()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	l.stop = func() { cancel(); <-done }
	go func() {
		defer close(done)
		settled := time.After(settleTime)
		if l.Restore(ctx) != nil {
			return
		}
		select {
		case <-settled:
			_ = l.Restore(ctx) // fails only when told to end
		case <-ctx.Done():
		}
	}()
}

func (l *Lease) endRestoring() {
	if l.stop != nil {
		l.stop()
	}
}

func (l *Lease) renew(ctx context.Context, first bool) (store.RenewState, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	n := l.Node
	n.ID = l.ID()
	n.Conns, n.Draining = l.Count(), l.draining.Load()
	state, err := l.Store.RenewNode(ctx, n, first)
	if err == nil && !state.Gone {
		l.renewed.Store(clock.Millis(time.Now()))
	}
	return state, err
}

// SetDraining tells others, now and at every renewal, that no new connection should come here.
func (l *Lease) SetDraining(ctx context.Context) error {
	l.draining.Store(true)
	_, err := l.renew(ctx, false)
	return err
}

// Ready returns nil while the lease is fresh.
func (l *Lease) Ready() error {
	if at := l.renewed.Load(); at == 0 || time.Since(clock.Time(at)) > staleAfter {
		return errNoLease
	}
	return nil
}
