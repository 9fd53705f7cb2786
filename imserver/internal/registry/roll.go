package registry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/clock"
	"github.com/imtier/imtier/imserver/internal/pace"
	"github.com/imtier/imtier/pkg/store"
)

// A batch of either keeps Redis busy for some milliseconds. Orders to close connections are rare, and rarely missed: what
// users send meanwhile goes first. Connections that are not registered are missing in what backends see.
var (
	comparePace = pace.Pace{Size: 200, Rest: 4}
	restorePace = pace.Pace{Size: 50, Rest: 1}
)

// Roll keeps what Redis has registered of this node and what is open here the same, after one of them may have missed
// something of the other.
type Roll struct {
	Store *store.Store
	Log   *zap.Logger
	// Sessions lists the connections here as they are registered: all of them, or only those that are admitted.
	Sessions func(admitted bool) []store.Session
	Open     func(store.ConnRef) bool // whether a connection is still here
	Node     func() string            // the node's name now
	Struck   func(node string)        // others have signed off the connections of a node, under its name of then
	Leave    func(store.ConnRef)      // signs a connection off
	End      func(store.Ended)        // closes one

	mu sync.Mutex // held while a batch is registered: the one that comes last has the name of now

	late  map[string]int64 // when connections were in a batch that failed last, by their IDs, see clock; guarded by lateM
	lateM sync.Mutex
}

// unsureFor is how long what was sent to Redis may be on its way: much longer than a kernel repeats it.
const unsureFor = time.Hour

// Unsure reports whether a registration of a connection that was registered before, and has ended, may still be on its way: of
// one that failed nobody knows when it arrives. It is asked once, and forgotten.
func (r *Roll) Unsure(connID string) bool {
	r.lateM.Lock()
	defer r.lateM.Unlock()
	at, failed := r.late[connID]
	delete(r.late, connID)
	return failed && time.Since(clock.Time(at)) < unsureFor
}

// unsure notes connections that nobody knows to be registered. They are as many as are open here: who ends is asked for.
func (r *Roll) unsure(part []store.Session) {
	r.lateM.Lock()
	defer r.lateM.Unlock()
	if r.late == nil {
		r.late = make(map[string]int64)
	}
	for _, se := range part {
		r.late[se.ConnID] = clock.Millis(time.Now())
	}
}

// Restore registers all connections again, under the node's name of now. It ends only when that is done, or ctx ends.
func (r *Roll) Restore(ctx context.Context) error {
	return r.restore(ctx, r.warn, func(store.Session) bool { return true })
}

func (r *Roll) warn(err error) {
	r.Log.Warn("register connections again, will retry", zap.Error(err))
}

// CompareAll is Compare that logs what has to be tried again.
func (r *Roll) CompareAll(ctx context.Context) error { return r.Compare(ctx, r.warn) }

// Compare closes connections that were ended or revoked, and registers those again of which Redis knows nothing, or under an
// earlier name of the node: it may have lost data. Of those that are being admitted Redis may know nothing yet. It signs off
// what Redis has of the node and what is not here any more. It ends only when all is done, or ctx ends; failed is told of what
// has to be tried again.
func (r *Roll) Compare(ctx context.Context, failed func(error)) error {
	admitted := make(map[string]bool)
	for _, se := range r.Sessions(true) {
		admitted[se.ConnID] = true
	}
	unknown := make(map[string]bool)
	err := pace.Each(ctx, comparePace, r.Sessions(false), failed, func(ctx context.Context, part []store.Session) error {
		node := r.Node()
		ended, places, err := r.Store.Compare(ctx, node, part)
		if errors.Is(err, store.ErrStruckOff) {
			r.Struck(node) // then all are registered again
			return nil
		}
		if err != nil {
			return err
		}
		r.end(ended)
		for _, i := range places {
			if id := part[i].ConnID; admitted[id] {
				unknown[id] = true
			}
		}
		return nil
	})
	if err == nil && len(unknown) > 0 {
		r.Log.Warn("connections are not registered, registering them again", zap.Int("count", len(unknown)))
		err = r.restore(ctx, failed, func(se store.Session) bool { return unknown[se.ConnID] })
	}
	if err != nil {
		return err
	}
	return r.signOff(ctx, failed)
}

// signOff signs off what Redis has of this node and what is not here: it has forgotten that it was signed off. What is being
// admitted is here before it is registered. Some of it may still wait to be signed off, which does no harm.
func (r *Roll) signOff(ctx context.Context, failed func(error)) error {
	partitions := make([]int, r.Store.Partitions())
	for p := range partitions {
		partitions[p] = p
	}
	count := 0
	err := pace.Each(ctx, comparePace, partitions, failed, func(ctx context.Context, part []int) error {
		refs, err := r.Store.Registered(ctx, r.Node(), part)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if !r.Open(ref) {
				r.Leave(ref)
				count++
			}
		}
		return nil
	})
	if count > 0 {
		r.Log.Info("connections are registered that are not here, signing them off", zap.Int("count", count))
	}
	return err
}

// restore registers connections again that are still here. One that ends meanwhile may be signed off before it is
// registered, so it is signed off once more.
func (r *Roll) restore(ctx context.Context, failed func(error), which func(store.Session) bool) error {
	all := slices.DeleteFunc(r.Sessions(false), func(se store.Session) bool { return !which(se) })
	return pace.Each(ctx, restorePace, all, failed, func(ctx context.Context, part []store.Session) error {
		part = slices.DeleteFunc(slices.Clone(part), func(se store.Session) bool { return !r.Open(refOf(se)) })
		err := r.register(ctx, part)
		for _, se := range part { // also after an error: some may be registered
			if !r.Open(refOf(se)) {
				r.Leave(store.ConnRef{ClientID: se.ClientID, ConnID: se.ConnID, Final: !se.Positions, Unsure: r.Unsure(se.ConnID)})
			}
		}
		return err
	})
}

func refOf(se store.Session) store.ConnRef {
	return store.ConnRef{ClientID: se.ClientID, ConnID: se.ConnID}
}

// register puts connections into Redis, under the node's name of now, and closes those that it must not hold.
func (r *Roll) register(ctx context.Context, part []store.Session) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	node := r.Node()
	for i := range part {
		part[i].Node = node
	}
	ended, err := r.Store.Restore(ctx, part)
	if errors.Is(err, store.ErrStruckOff) {
		r.Struck(node)
	}
	if err != nil {
		r.unsure(part)
		return err
	}
	r.end(ended)
	return nil
}

func (r *Roll) end(ended []store.Ended) {
	for _, e := range ended {
		r.End(e)
	}
}
