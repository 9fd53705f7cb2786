package registry

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/store"
)

const (
	// leaveBatch is how many connections are signed off in one go.
	leaveBatch = 500
	// leaveRetry is the pause after a sign-off that failed.
	leaveRetry = time.Second
)

// Leaver signs connections off, in batches, in the order they ended, until Redis has taken it. What waits is
// bounded by the connections that the node had.
type Leaver struct {
	store *store.Store
	log   *zap.Logger

	turn sync.Mutex // one Flush at a time

	mu   sync.Mutex
	gone []store.ConnRef
	wake chan struct{}
}

// NewLeaver makes a leaver; Run makes it work.
func NewLeaver(s *store.Store, log *zap.Logger) *Leaver {
	return &Leaver{store: s, log: log, wake: make(chan struct{}, 1)}
}

// Add queues a connection that has ended. It never blocks.
func (l *Leaver) Add(ref store.ConnRef) {
	l.mu.Lock()
	l.gone = append(l.gone, ref)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run signs off until ctx ends.
func (l *Leaver) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		for l.Flush(ctx) != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(leaveRetry):
			}
		}
	}
}

// Flush signs off what waits. On error the rest waits on.
func (l *Leaver) Flush(ctx context.Context) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	for {
		l.mu.Lock()
		batch := l.gone[:min(leaveBatch, len(l.gone))]
		l.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		if err := l.store.Disconnect(ctx, "this node", batch); err != nil {
			if ctx.Err() == nil {
				l.log.Warn("sign off connections, will retry", zap.Int("count", len(batch)), zap.Error(err))
			}
			return err
		}
		l.mu.Lock()
		l.gone = l.gone[len(batch):]
		if len(l.gone) == 0 {
			l.gone = nil
		}
		l.mu.Unlock()
	}
}

// Waiting returns how many connections wait to be signed off.
func (l *Leaver) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.gone)
}
