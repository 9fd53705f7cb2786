package registry

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

const (
	// requestQueue and requestBytes bound the requests that wait to be written to Redis; beyond they are refused.
	requestQueue = 4096
	requestBytes = 16 << 20
	requestBatch = 64 // written in one go
	// requestWriters work side by side: one waits for Redis while another fills its batch.
	requestWriters = 2
)

// Requests writes requests of clients to Redis, where backends find them.
type Requests struct {
	store *store.Store
	log   *zap.Logger
	queue chan asked
	bytes atomic.Int64 // in queue
}

// asked is a request, and who is told when it could not be passed on.
type asked struct {
	store.Request
	refuse func(code string)
}

// NewRequests makes an empty queue; Run makes it work.
func NewRequests(s *store.Store, log *zap.Logger) *Requests {
	return &Requests{store: s, log: log, queue: make(chan asked, requestQueue)}
}

// Add queues a request; refuse is called with a code of package protocol if it cannot be passed on. It never blocks, and
// reports false when there is no room.
func (r *Requests) Add(q store.Request, refuse func(code string)) bool {
	size := int64(len(q.Data))
	if r.bytes.Add(size) > requestBytes {
		r.bytes.Add(-size)
		return false
	}
	select {
	case r.queue <- asked{q, refuse}:
		return true
	default:
		r.bytes.Add(-size)
		return false
	}
}

// Run writes until ctx ends.
func (r *Requests) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range requestWriters {
		wg.Go(func() { r.write(ctx) })
	}
	wg.Wait()
}

func (r *Requests) write(ctx context.Context) {
	for {
		var batch []asked
		select {
		case <-ctx.Done():
			return
		case first := <-r.queue:
			batch = append(batch, first)
		}
		for more := true; more && len(batch) < requestBatch; {
			select {
			case next := <-r.queue:
				batch = append(batch, next)
			default:
				more = false
			}
		}
		r.pass(ctx, batch)
	}
}

// pass writes a batch, and tells whose request was not taken.
func (r *Requests) pass(ctx context.Context, batch []asked) {
	all := make([]store.Request, len(batch))
	for i := range batch {
		all[i] = batch[i].Request
		r.bytes.Add(-int64(len(batch[i].Data)))
	}
	var failed error
	for i, err := range r.store.Request(ctx, all) {
		switch {
		case err == nil:
		case errors.Is(err, store.ErrNoHandler):
			batch[i].refuse(protocol.RefusedNoHandler)
		case errors.Is(err, store.ErrBusy):
			batch[i].refuse(protocol.RefusedBusy)
		default:
			failed = err
			batch[i].refuse(protocol.RefusedUnavailable)
		}
	}
	if failed != nil && ctx.Err() == nil {
		r.log.Warn("pass requests on", zap.Error(failed))
	}
}
