package imhelper

import (
	"context"
	"fmt"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// BatchItem is one send of a batch: exactly one of its fields is given.
type BatchItem struct {
	Direct    *Message
	Group     *GroupMessage
	Broadcast *BroadcastMessage
}

// BatchResult is the answer to one send of a batch: an error, or what the single method returns.
type BatchResult struct {
	Direct *SendResult // of a Direct item
	Post   *PostResult // of a Group or Broadcast item
	Err    error
}

// Batch makes up to 1000 sends in one round trip, in order: of two items for the same receiver or group the first
// has the lower position. Each succeeds or fails by itself, so results hold errors (as of Send); the error returned
// by Batch is a FieldError about the number of items, and then nothing was sent.
func (h *Helper) Batch(ctx context.Context, items []BatchItem) ([]BatchResult, error) {
	if len(items) == 0 {
		return nil, &FieldError{Field: "sends", Problem: "is empty"}
	}
	if len(items) > protocol.MaxReceivers {
		return nil, &FieldError{
			Field:   "sends",
			Problem: fmt.Sprintf("has %d entries, at most %d are allowed", len(items), protocol.MaxReceivers),
		}
	}
	results := make([]BatchResult, len(items))
	posts := make([]*post, len(items)) // nil where the item has failed already
	pubs := make([]store.Publication, 0, len(items))
	for i, item := range items {
		p, err := h.post(item)
		if err == nil && p.wait > 0 {
			err = &FieldError{Field: "waitMs", Problem: "cannot be used in a batch"}
		}
		if err == nil {
			err = h.askOnSend(ctx, p)
		}
		if err != nil {
			results[i].Err = err
			continue
		}
		posts[i] = p
		pubs = p.publications(pubs)
	}
	published := h.store.PublishMany(ctx, pubs)
	for i, p := range posts {
		if p == nil {
			continue
		}
		n := 1
		if p.echo {
			n = 2
		}
		results[i] = p.batchResult(published[:n])
		published = published[n:]
	}
	return results, nil
}

func (h *Helper) post(item BatchItem) (*post, error) {
	switch {
	case item.Direct != nil && item.Group == nil && item.Broadcast == nil:
		return h.direct(*item.Direct)
	case item.Group != nil && item.Direct == nil && item.Broadcast == nil:
		return h.toGroup(*item.Group)
	case item.Broadcast != nil && item.Direct == nil && item.Group == nil:
		return h.toAll(*item.Broadcast)
	}
	return nil, &FieldError{Field: "kind", Problem: "is missing: an item is one of direct, group and broadcast"}
}

func (p *post) batchResult(published []store.PublishResult) BatchResult {
	for _, r := range published {
		if r.Err != nil {
			return BatchResult{Err: r.Err}
		}
	}
	if p.kind == Direct {
		return BatchResult{Direct: p.sendResult(published[0].Receipts)}
	}
	return BatchResult{Post: p.postResult(published[0].Receipts)}
}
