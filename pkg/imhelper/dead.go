package imhelper

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/imtier/imtier/pkg/store"
)

// DeadLetter is an event that webapi could not deliver to the webhook.
type DeadLetter struct {
	ID       string          `json:"id"`        // of the letter
	Key      string          `json:"webhookId"` // under which it was sent: equal keys are the same event
	Body     json.RawMessage `json:"body"`      // what was posted
	Error    string          `json:"error"`     // of the last attempt
	Attempts int             `json:"attempts"`
	Time     time.Time       `json:"time"` // when it was given up, by Redis's clock
}

// DeadLetters lists what could not be delivered, the oldest first, limit at a time (0 means 100, at most 1000), starting after
// cursor. An empty next means that this was the last page. About 10,000 are kept; beyond that the oldest go.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) DeadLetters(ctx context.Context, cursor string, limit int) (letters []DeadLetter, next string, err error) {
	if limit, err = page(limit); err != nil {
		return nil, "", err
	}
	found, err := h.store.Dead(ctx, cursor, limit)
	if err != nil {
		return nil, "", cursorError("list dead letters", err)
	}
	letters = make([]DeadLetter, len(found))
	for i, d := range found {
		letters[i] = DeadLetter(d)
	}
	if len(letters) == limit {
		next = letters[limit-1].ID
	}
	return letters, next, nil
}

// DeadLetter returns one letter. ErrNotFound when there is none of that ID.
//
// Errors: ErrNotFound, ErrUnavailable.
func (h *Helper) DeadLetter(ctx context.Context, id string) (DeadLetter, error) {
	d, ok, err := h.store.DeadByID(ctx, id)
	if err == nil && !ok {
		err = fmt.Errorf("dead letter %.60q: %w", id, ErrNotFound)
	}
	return DeadLetter(d), doing("read a dead letter", err)
}

// KeepDeadLetter adds a letter; its ID and Time are set by Redis.
//
// Errors: ErrUnavailable.
func (h *Helper) KeepDeadLetter(ctx context.Context, d DeadLetter) error {
	return h.store.PutDead(ctx, store.DeadLetter(d))
}

// RemoveDeadLetter forgets a letter. ErrNotFound when there is none of that ID.
//
// Errors: ErrNotFound, ErrUnavailable.
func (h *Helper) RemoveDeadLetter(ctx context.Context, id string) error {
	ok, err := h.store.RemoveDead(ctx, id)
	if err == nil && !ok {
		err = fmt.Errorf("dead letter %.60q: %w", id, ErrNotFound)
	}
	return doing("remove a dead letter", err)
}
