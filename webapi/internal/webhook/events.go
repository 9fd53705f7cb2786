package webhook

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/imhelper"
)

const (
	// maxTries bounds how many events' attempts are remembered: one of each partition fails at a time, and those of
	// partitions that others have now are left over.
	maxTries = 10_000
	// keepAgain is the pause before a dead letter is tried to be kept again.
	keepAgain = 5 * time.Second
)

// onEvent delivers an event. An error makes it come again, no sooner than it says.
func (w *Webhook) onEvent(ctx context.Context, e imhelper.Event) error {
	if e.Type == imhelper.EventLost {
		w.metrics.lost.Inc()
		w.o.Log.Error("events were lost before the webhook got them", zap.Int64("since", e.Since), zap.Int64("until", e.Time))
	}
	if !w.wants(e.Type) {
		return nil
	}
	id := eventID(e)
	body, err := encode(e.Type, time.UnixMilli(e.Time), e)
	if err != nil {
		return err
	}
	_, err = w.post(ctx, id, body, maxIgnored)
	if err == nil {
		w.metrics.delivered.Inc()
		w.forget(id)
		return nil
	}
	if ctx.Err() != nil {
		return err // stopping: that was no attempt
	}
	w.metrics.failed.Inc()
	var answer *refusal
	if errors.As(err, &answer) && answer.status == http.StatusGone {
		w.stop()
		return err
	}
	n := w.failedAgain(id)
	if n <= len(w.o.Retries) {
		pause := jitter(w.o.Retries[n-1])
		if answer != nil {
			// No longer than the operator lets an event hold up its partition between two attempts.
			pause = max(pause, min(answer.after, slices.Max(w.o.Retries)))
		}
		w.o.Log.Debug("webhook attempt failed", zap.String("event", id), zap.Int("attempt", n), zap.Duration("retry_in", pause), zap.Error(err))
		return imhelper.RetryAfter(pause, err)
	}
	letter := imhelper.DeadLetter{Key: id, Body: body, Error: err.Error(), Attempts: n}
	if kept := w.o.Helper.KeepDeadLetter(ctx, letter); kept != nil {
		return imhelper.RetryAfter(keepAgain, errors.Join(err, kept))
	}
	w.metrics.dead.Inc()
	w.forget(id)
	w.o.Log.Error("webhook given up, the event is a dead letter", zap.String("event", id), zap.String("type", e.Type),
		zap.String("client_id", e.ClientID), zap.Int("attempts", n), zap.Error(err))
	return nil
}

// eventID is the webhook-id: the same in each attempt.
func eventID(e imhelper.Event) string {
	if e.Key == "" { // a loss
		return fmt.Sprintf("evt_lost-%d-%d", e.Since, e.Time)
	}
	return "evt_" + e.Key
}

// jitter spreads what failed together: between the pause and 1.2 times as long.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/5+1) }

// stop ends everything: the receiver is gone for good.
func (w *Webhook) stop() {
	if w.gone.CompareAndSwap(false, true) {
		w.metrics.stopped.Set(1)
		w.o.Log.Error("the webhook's receiver answered 410 Gone: nothing is sent any more until webapi is started again")
	}
}

func (w *Webhook) failedAgain(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.tries) >= maxTries && w.tries[id] == 0 {
		clear(w.tries) // their schedules begin anew
	}
	w.tries[id]++
	return w.tries[id]
}

func (w *Webhook) forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.tries, id)
}

// Redeliver makes one attempt to deliver a dead letter, and forgets it when that succeeds.
func (w *Webhook) Redeliver(ctx context.Context, d imhelper.DeadLetter) error {
	if _, err := w.post(ctx, d.Key, d.Body, maxIgnored); err != nil {
		w.metrics.failed.Inc()
		return err
	}
	w.metrics.delivered.Inc()
	err := w.o.Helper.RemoveDeadLetter(ctx, d.ID)
	if errors.Is(err, imhelper.ErrNotFound) { // somebody else did it at the same time
		return nil
	}
	return err
}
