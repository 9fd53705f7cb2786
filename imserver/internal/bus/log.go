package bus

import (
	"context"
	"math"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// StoredLog reads the streams for the hub.
type StoredLog struct {
	Store *store.Store
	Sure  func(context.Context) error // makes sure that fences are of the present life of Redis: see Bus.Sure
}

// After implements hub.Log. An entry that is not an envelope is passed over.
func (l StoredLog) After(ctx context.Context, st protocol.Stream, after protocol.Position, limit int) ([]hub.Entry, error) {
	stored, err := l.Store.After(ctx, st, after, limit)
	if err != nil {
		return nil, err
	}
	return l.decode(ctx, st, stored, limit)
}

// decode makes entries of what was read with a limit.
func (l StoredLog) decode(ctx context.Context, st protocol.Stream, stored []store.Entry, limit int) ([]hub.Entry, error) {
	entries := make([]hub.Entry, 0, len(stored))
	for asked := limit; ; { // fewer than limit would mean that the log ends here
		for _, e := range stored {
			if m, err := hub.NewMessage(e.Envelope); err == nil {
				entries = append(entries, hub.Entry{Pos: e.Pos, Msg: m})
			}
		}
		if len(stored) < asked || len(entries) == limit {
			return entries, nil
		}
		asked = limit - len(entries)
		var err error
		if stored, err = l.Store.After(ctx, st, stored[len(stored)-1].Pos, asked); err != nil {
			return nil, err
		}
	}
}

// Since implements hub.Log. By its fences is judged what positions prove: while they may be of an earlier life of Redis, and
// cannot be raised, nothing is proven.
func (l StoredLog) Since(ctx context.Context, reads []hub.Read) ([]hub.Since, error) {
	asked := make([]store.Read, len(reads))
	for i, r := range reads {
		asked[i] = store.Read{Stream: r.Stream, After: r.After, Limit: r.Limit}
	}
	doubt := l.Sure(ctx)
	found, err := l.Store.Since(ctx, asked)
	if err != nil {
		return nil, err
	}
	out := make([]hub.Since, len(reads))
	for i, f := range found {
		out[i].Tail = hub.Tail{Pos: f.Pos, Fence: f.Fence}
		if doubt != nil {
			out[i].Fence = math.MaxUint64
		}
		if reads[i].Limit > 0 {
			if out[i].Entries, err = l.decode(ctx, reads[i].Stream, f.Entries, reads[i].Limit); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Tails implements hub.Log.
func (l StoredLog) Tails(ctx context.Context, sts []protocol.Stream) ([]hub.Tail, error) {
	stored, err := l.Store.Tails(ctx, sts)
	if err != nil {
		return nil, err
	}
	tails := make([]hub.Tail, len(stored))
	for i, t := range stored {
		tails[i] = hub.Tail{Pos: t.Pos, Fence: t.Fence}
	}
	return tails, nil
}
