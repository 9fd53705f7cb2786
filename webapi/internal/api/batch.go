package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
)

// batches makes many sends at once.
type batches struct {
	h   *imhelper.Helper
	log *zap.Logger
}

// maxBatchBody bounds a batch: 1000 messages of 16 KiB. Larger ones are sent in several.
const maxBatchBody = 16 << 20

func (b batches) routes() []route {
	r := serve(route{
		method: http.MethodPost, path: "/v1/batch", id: "batch", tag: "Sending", maxBody: maxBatchBody, timeout: untimed,
		summary: "Make up to 1000 sends at once",
		detail: "Each send is the body of a single send with `kind`. Sends to the same receiver or group keep their order. " +
			"Each succeeds or fails by itself: its place in `results` holds what the single route would answer, or a problem.",
	}, b.batch)
	r.out = new(batchDocument)
	return []route{r}
}

type batchIn struct {
	Sends []batchItem `json:"sends" required:"true" minItems:"1" maxItems:"1000"`
}

// Kinds of items.
const (
	kindDirect    = "direct"
	kindGroup     = "group"
	kindBroadcast = "broadcast"
)

// batchItem is one of directItem, groupItem and broadcastItem, decoded when its kind is known.
type batchItem struct {
	json.RawMessage
	direct *directBody // instead, when it has been decoded already
}

type directItem struct {
	Kind string `json:"kind" required:"true" enum:"direct"`
	directBody
}

type groupItem struct {
	Kind  string `json:"kind" required:"true" enum:"group"`
	Group string `json:"group" required:"true" minLength:"1" maxLength:"128"`
	groupBody
}

type broadcastItem struct {
	Kind string `json:"kind" required:"true" enum:"broadcast"`
	broadcastBody
}

// JSONSchemaOneOf lists the forms of an item for the document.
func (batchItem) JSONSchemaOneOf() []any { return []any{directItem{}, groupItem{}, broadcastItem{}} }

// batchOut holds a *sendOut, *postOut or *Problem per send. They are not of a type of their own, which would have to
// encode itself, and encoding/json checks and copies what such a type writes.
type batchOut struct {
	Results []any `json:"results"`
}

// batchDocument describes batchOut.
type batchDocument struct {
	Results []batchResult `json:"results" description:"One per send, in their order."`
}

type batchResult struct{}

// JSONSchemaOneOf lists the forms of a result for the document.
func (batchResult) JSONSchemaOneOf() []any { return []any{sendOut{}, postOut{}, Problem{}} }

func (b batches) batch(ctx context.Context, in *batchIn) (*batchOut, error) {
	if len(in.Sends) > protocol.MaxReceivers {
		return nil, &imhelper.FieldError{
			Field:   "sends",
			Problem: fmt.Sprintf("has %d entries, at most %d are allowed", len(in.Sends), protocol.MaxReceivers),
		}
	}
	out := &batchOut{Results: make([]any, len(in.Sends))}
	items := make([]imhelper.BatchItem, 0, len(in.Sends))
	at := make([]int, 0, len(in.Sends)) // where each item's result goes
	for i, raw := range in.Sends {
		item, err := raw.decode()
		if err != nil {
			out.Results[i] = b.failed(err)
			continue
		}
		items, at = append(items, item), append(at, i)
	}
	if len(in.Sends) > 0 && len(items) == 0 {
		return out, nil
	}
	results, err := b.h.Batch(ctx, items)
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		switch {
		case r.Err != nil:
			out.Results[at[i]] = b.failed(r.Err)
		case r.Direct != nil:
			out.Results[at[i]] = newSendOut(r.Direct)
		default:
			out.Results[at[i]] = newPostOut(r.Post)
		}
	}
	return out, nil
}

func (b batches) failed(err error) *Problem {
	p, unexpected := problemOf(err)
	if unexpected {
		b.log.Error("send of a batch failed", zap.Error(err))
	}
	return p
}

func (i batchItem) decode() (item imhelper.BatchItem, err error) {
	if i.direct != nil {
		msg, err := i.direct.message()
		return imhelper.BatchItem{Direct: &msg}, err
	}
	var head struct {
		Kind *string `json:"kind"`
	}
	if err := json.Unmarshal(i.RawMessage, &head); err != nil {
		return item, decodeProblem(err)
	}
	if head.Kind == nil {
		return item, &imhelper.FieldError{Field: "kind", Problem: "is missing: one of direct, group and broadcast"}
	}
	switch *head.Kind {
	case kindDirect:
		var in directItem
		if err := decodeStrict(i.RawMessage, &in); err != nil {
			return item, err
		}
		msg, err := in.message()
		return imhelper.BatchItem{Direct: &msg}, err
	case kindGroup:
		var in groupItem
		if err := decodeStrict(i.RawMessage, &in); err != nil {
			return item, err
		}
		msg, err := in.message(in.Group)
		return imhelper.BatchItem{Group: &msg}, err
	case kindBroadcast:
		var in broadcastItem
		if err := decodeStrict(i.RawMessage, &in); err != nil {
			return item, err
		}
		msg, err := in.message()
		return imhelper.BatchItem{Broadcast: &msg}, err
	}
	return item, &imhelper.FieldError{Field: "kind", Problem: "is not one of direct, group and broadcast"}
}
