package bus

import (
	"context"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// StoredLog reads the streams for the hub.
type StoredLog struct{ Store *store.Store }

// After implements hub.Log. An entry that is not an envelope is passed over.
func (l StoredLog) After(ctx context.Context, st protocol.Stream, after protocol.Position, limit int) ([]hub.Entry, error) {
	var entries []hub.Entry
	for len(entries) < limit { // fewer than limit would mean that the log ends here
		want := limit - len(entries)
		stored, err := l.Store.After(ctx, st, after, want)
		if err != nil {
			return nil, err
		}
		for _, e := range stored {
			after = e.Pos
			if m, err := hub.NewMessage(e.Envelope); err == nil {
				entries = append(entries, hub.Entry{Pos: e.Pos, Msg: m})
			}
		}
		if len(stored) < want {
			break
		}
	}
	return entries, nil
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
