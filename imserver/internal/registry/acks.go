package registry

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// ackInterval is how long acknowledgements are collected: a client that acknowledges each message of a busy room
// costs one write in that time.
const ackInterval = 500 * time.Millisecond

// Acks writes acknowledged positions to Redis, the newest of each stream. One that is lost with the process
// costs its client a message that it has already seen.
type Acks struct {
	store *store.Store
	log   *zap.Logger

	turn sync.Mutex // one Flush at a time

	mu      sync.Mutex
	pending map[device]map[string]protocol.Position // by the stream's name on the wire
}

type device struct{ client, name string }

// NewAcks makes an empty collection; Run makes it work.
func NewAcks(s *store.Store, log *zap.Logger) *Acks {
	return &Acks{store: s, log: log, pending: make(map[device]map[string]protocol.Position)}
}

// Add notes what a device acknowledged. It never blocks.
func (a *Acks) Add(clientID, name string, pos map[protocol.Stream]protocol.Position) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.merge(device{clientID, name}, func(put func(string, protocol.Position)) {
		for st, p := range pos {
			put(st.String(), p)
		}
	})
}

// merge keeps the newest of each stream. The caller holds mu.
func (a *Acks) merge(d device, each func(put func(string, protocol.Position))) {
	have := a.pending[d]
	if have == nil {
		have = make(map[string]protocol.Position)
		a.pending[d] = have
	}
	each(func(stream string, p protocol.Position) {
		if have[stream].Less(p) {
			have[stream] = p
		}
	})
}

// Run writes until ctx ends.
func (a *Acks) Run(ctx context.Context) {
	tick := time.NewTicker(ackInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := a.Flush(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("write acknowledgements, will retry", zap.Error(err))
			}
		}
	}
}

// Flush writes what waits. What could not be written waits on, unless a newer position has come.
func (a *Acks) Flush(ctx context.Context) error {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.mu.Lock()
	batch := a.pending
	a.pending = make(map[device]map[string]protocol.Position)
	a.mu.Unlock()

	var errs error
	for d, pos := range batch {
		err := errs
		if err == nil { // one failure is enough to know that Redis is away
			err = a.store.SaveCursors(ctx, d.client, d.name, pos)
		}
		if err != nil {
			errs = err
			a.mu.Lock()
			a.merge(d, func(put func(string, protocol.Position)) {
				for st, p := range pos {
					put(st, p)
				}
			})
			a.mu.Unlock()
		}
	}
	return errors.Join(errs)
}
