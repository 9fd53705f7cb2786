package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/imtier/imtier/pkg/imhelper"
)

// Redeliverer makes another attempt to deliver a dead letter, and removes it when that succeeds. webhook.Webhook does.
type Redeliverer interface {
	Redeliver(ctx context.Context, d imhelper.DeadLetter) error
}

// deadLetters shows what could not be delivered to the webhook, and delivers it after all.
type deadLetters struct {
	h       *imhelper.Helper
	webhook Redeliverer // nil: none is set up
}

func (d deadLetters) routes() []route {
	const path = "/v1/webhook/dead-letters"
	return []route{
		serve(route{
			method: http.MethodGet, path: path, id: "listDeadLetters", tag: "Events",
			summary: "List the events that the webhook did not take",
			detail:  "The oldest first. About 10,000 are kept.",
		}, d.list),
		serve(route{
			method: http.MethodPost, path: path + "/redeliver", id: "redeliverDeadLetters", tag: "Events", timeout: bulkTimeout,
			summary: "Deliver them again, the oldest first",
			detail: "Ends with the first that fails, or after some 20 seconds: `left` tells whether to call it again. They " +
				"come after younger events that were delivered before.",
			problems: []int{http.StatusConflict},
		}, d.redeliverAll),
		serve(route{
			method: http.MethodPost, path: path + "/{id}/redeliver", id: "redeliverDeadLetter", tag: "Events", timeout: bulkTimeout,
			summary: "Deliver one again", status: http.StatusNoContent,
			problems: []int{http.StatusNotFound, http.StatusConflict, http.StatusBadGateway},
		}, d.redeliver),
		serve(route{
			method: http.MethodDelete, path: path + "/{id}", id: "removeDeadLetter", tag: "Events",
			summary: "Forget one", status: http.StatusNoContent, problems: []int{http.StatusNotFound},
		}, d.remove),
	}
}

type deadLetterOut struct {
	ID        string          `json:"id"`
	WebhookID string          `json:"webhookId" description:"Of the webhook that was not taken."`
	Body      json.RawMessage `json:"body" description:"Of that webhook."`
	Error     string          `json:"error" description:"Of the last attempt."`
	Attempts  int             `json:"attempts"`
	Time      int64           `json:"time" description:"When it was given up, Unix milliseconds."`
}

type deadLettersOut struct {
	DeadLetters []deadLetterOut `json:"deadLetters"`
	Next        string          `json:"next" description:"cursor of the next page; empty when this is the last one."`
}

type deadLetterIn struct {
	ID string `path:"id" json:"-"`
}

type redeliveredOut struct {
	Delivered int    `json:"delivered"`
	Left      bool   `json:"left" description:"There are more."`
	Error     string `json:"error,omitempty" description:"Why it ended before."`
}

func (d deadLetters) list(ctx context.Context, in *paging) (*deadLettersOut, error) {
	letters, next, err := d.h.DeadLetters(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &deadLettersOut{DeadLetters: make([]deadLetterOut, len(letters)), Next: next}
	for i, l := range letters {
		out.DeadLetters[i] = deadLetterOut{l.ID, l.Key, l.Body, l.Error, l.Attempts, millis(l.Time)}
	}
	return out, nil
}

var errNoWebhook = problem(http.StatusConflict, codeNoWebhook, "no webhook is set up: see IM_WEBHOOK_URL")

func (d deadLetters) redeliver(ctx context.Context, in *deadLetterIn) (empty, error) {
	if d.webhook == nil {
		return empty{}, errNoWebhook
	}
	l, err := d.h.DeadLetter(ctx, in.ID)
	if err != nil {
		return empty{}, err
	}
	err = d.webhook.Redeliver(ctx, l)
	if err != nil && !errors.Is(err, imhelper.ErrUnavailable) {
		return empty{}, problem(http.StatusBadGateway, codeNotDelivered, err.Error())
	}
	return empty{}, err
}

// redeliverAtOnce is how many letters are looked up at a time.
const redeliverAtOnce = 100

func (d deadLetters) redeliverAll(ctx context.Context, _ *empty) (*redeliveredOut, error) {
	if d.webhook == nil {
		return nil, errNoWebhook
	}
	// One attempt may take as long as the rest of the time that the route has.
	enough, cancel := context.WithTimeout(ctx, bulkTimeout*2/3)
	defer cancel()
	out := &redeliveredOut{}
	for {
		letters, _, err := d.h.DeadLetters(ctx, "", redeliverAtOnce)
		if err != nil {
			return nil, err
		}
		if out.Left = len(letters) > 0; !out.Left {
			return out, nil
		}
		for _, l := range letters {
			if enough.Err() != nil {
				return out, nil
			}
			if err := d.webhook.Redeliver(ctx, l); err != nil {
				out.Error = err.Error()
				return out, nil //nolint:nilerr // it is told in the answer, beside what was delivered
			}
			out.Delivered++
		}
	}
}

func (d deadLetters) remove(ctx context.Context, in *deadLetterIn) (empty, error) {
	return empty{}, d.h.RemoveDeadLetter(ctx, in.ID)
}
