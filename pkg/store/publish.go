package store

import (
	"context"

	"github.com/imtier/imtier/pkg/protocol"
)

// Receipt is what became of a message at one address.
type Receipt struct {
	Addr      string            // clientId or group; empty for a broadcast
	Pos       protocol.Position // zero for an ephemeral message, and where the send failed
	Online    bool              // the client was online; inboxes only
	Duplicate bool              // the same id had been sent before: Pos is that of the first time
}

// PublishInbox appends a message to the inboxes of clients and delivers it to those who are connected. Receipts
// are in the order of to. When it returns without an error the message is stored for every receiver.
//
// With idempotent, a send of the same message id from the same sender to the same client within
// protocol.IdempotencyWindow is not repeated but answered with its first position. On an error, receipts with a
// position are done; the others may or may not have taken place, and sending again with idempotent is safe: it
// completes what is missing.
func (s *Store) PublishInbox(ctx context.Context, e *protocol.Envelope, to []string, idempotent bool) ([]Receipt, error) {
	r := s.PublishMany(ctx, []Publication{{Envelope: e, Kind: protocol.Inbox, To: to, Idempotent: idempotent}})[0]
	return r.Receipts, r.Err
}

// PublishGroup appends a message to a group's stream; the rest is as with PublishInbox.
func (s *Store) PublishGroup(ctx context.Context, e *protocol.Envelope, group string, idempotent bool) (Receipt, error) {
	r := s.PublishMany(ctx, []Publication{
		{Envelope: e, Kind: protocol.Group, To: []string{group}, Idempotent: idempotent},
	})[0]
	return r.Receipts[0], r.Err
}

// PublishAll appends a message to the broadcast stream; the rest is as with PublishInbox.
func (s *Store) PublishAll(ctx context.Context, e *protocol.Envelope, idempotent bool) (Receipt, error) {
	r := s.PublishMany(ctx, []Publication{{Envelope: e, Kind: protocol.All, Idempotent: idempotent}})[0]
	return r.Receipts[0], r.Err
}

// PublishEphemeral delivers a message to those who are connected now and stores it nowhere. Receipts are in the
// order of streams. Without an error it was handed to Redis; whether it arrived anywhere is not known.
func (s *Store) PublishEphemeral(ctx context.Context, e *protocol.Envelope, streams ...protocol.Stream) ([]Receipt, error) {
	pubs := make([]Publication, 0, len(streams))
	for from := 0; from < len(streams); {
		to := from + 1
		for to < len(streams) && streams[to].Kind == streams[from].Kind {
			to++
		}
		names := make([]string, 0, to-from)
		for _, st := range streams[from:to] {
			names = append(names, st.Name)
		}
		pubs = append(pubs, Publication{Envelope: e, Kind: streams[from].Kind, To: names, Ephemeral: true})
		from = to
	}
	receipts := make([]Receipt, 0, len(streams))
	var first error
	for _, r := range s.PublishMany(ctx, pubs) {
		receipts = append(receipts, r.Receipts...)
		if first == nil {
			first = r.Err
		}
	}
	return receipts, first
}
