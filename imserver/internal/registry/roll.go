package registry

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/store"
)

// restoreBatch is how many connections are compared or registered again in one go.
const restoreBatch = 500

// Roll keeps what Redis has registered of this node and what is open here the same, after one of them may have missed
// something of the other.
type Roll struct {
	Store *store.Store
	Log   *zap.Logger
	// Sessions lists the connections here as they are registered: all of them, or only those that are admitted.
	Sessions func(admitted bool) []store.Session
	Leave    func(store.ConnRef) // signs a connection off
	End      func(store.Ended)   // closes one

	mu sync.Mutex // one at a time: who comes second uses the node's name of now
}

// Restore registers all connections again, under the node's name of now.
func (r *Roll) Restore(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.restore(ctx, r.Sessions(false))
}

// Compare closes connections that were ended or revoked, and registers those again of which Redis knows nothing: it may
// have lost data. Of those that are being admitted Redis may know nothing yet.
func (r *Roll) Compare(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	admitted := make(map[string]bool)
	for _, se := range r.Sessions(true) {
		admitted[se.ConnID] = true
	}
	var unknown []store.Session
	for part := range slices.Chunk(r.Sessions(false), restoreBatch) {
		ended, places, err := r.Store.Compare(ctx, part)
		if err != nil {
			return fmt.Errorf("compare connections: %w", err)
		}
		r.end(ended)
		for _, i := range places {
			if admitted[part[i].ConnID] {
				unknown = append(unknown, part[i])
			}
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	r.Log.Warn("connections are not registered, registering them again", zap.Int("count", len(unknown)))
	return r.restore(ctx, unknown)
}

// restore registers connections again. One that ended meanwhile may have been signed off before it was registered, so it
// is signed off once more.
func (r *Roll) restore(ctx context.Context, all []store.Session) error {
	for part := range slices.Chunk(all, restoreBatch) {
		ended, err := r.Store.Restore(ctx, part)
		if err != nil {
			return fmt.Errorf("register connections again: %w", err)
		}
		r.end(ended)
	}
	open := make(map[string]bool, len(all))
	for _, se := range r.Sessions(false) {
		open[se.ConnID] = true
	}
	for _, se := range all {
		if !open[se.ConnID] {
			r.Leave(store.ConnRef{ClientID: se.ClientID, ConnID: se.ConnID})
		}
	}
	return nil
}

func (r *Roll) end(ended []store.Ended) {
	for _, e := range ended {
		r.End(e)
	}
}
