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
	stored, err := l.Store.After(ctx, st, after, limit)
	if err != nil {
		return nil, err
	}
	entries := make([]hub.Entry, 0, len(stored))
	for _, e := range stored {
		m, err := hub.NewMessage(e.Envelope)
		if err != nil {
			continue
		}
		entries = append(entries, hub.Entry{Pos: e.Pos, Msg: m})
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
