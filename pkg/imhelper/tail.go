package imhelper

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

const (
	tailScan     = 2 * time.Second        // how often events are looked for, hints or not
	tailPace     = 100 * time.Millisecond // between two readings of all partitions: each is one call for each of them
	tailPaceOne  = 10 * time.Millisecond  // between two readings of one
	tailRetry    = 500 * time.Millisecond // while Redis is away
	tailAtOnce   = 100                    // events that one call of the function is given at most
	eventPosName = "after"
)

// EventQuery says which events TailEvents reads.
type EventQuery struct {
	After    string   // a position that TailEvents told; empty: from now on
	ClientID string   // only this client's; empty: all
	Types    []string // only these, of EventOnline, EventOffline, …; empty: all
}

// TailEvents reads events in their order and blocks until ctx ends, f fails, or the Helper is closed. Unlike Events it
// consumes nothing: each caller gets all, and keeps account itself of how far it got.
//
// f is called with events, the oldest first, and the position behind the last of them; each has its own in Pos. It is
// called without events too, every two seconds or so, with a position that may have moved: events that nobody asked for,
// and time, have passed. To go on later give a position as After; then nothing is left out and nothing comes twice. While f works nothing is read.
// When events behind a position were dropped before they were read, the first event is of type EventLost, whatever
// types were asked for. While Redis is away f is called without events.
//
// Errors: FieldError, ErrUnavailable (before the first call of f, and when the Helper was closed), that of f, that of ctx.
func (h *Helper) TailEvents(ctx context.Context, q EventQuery, f func(events []Event, pos string) error) error {
	t := tail{h: h, partition: store.EventsOfAll, q: q, pace: tailPace}
	if err := t.check(); err != nil {
		return err
	}
	select {
	case <-h.hints.closed:
		return closedError()
	default:
	}
	l := h.hints.listen(t.partition)
	defer h.hints.forget(l)
	if q.After == "" {
		var err error
		if t.pos, err = h.store.EventsNow(ctx); err != nil {
			return doing("read events", err)
		}
	}
	return t.run(ctx, l, f)
}

// tail is one call of TailEvents.
type tail struct {
	h         *Helper
	q         EventQuery
	partition int
	pace      time.Duration
	pos       store.EventPos
	told      int64 // Unix ms up to which a loss was told
}

func (t *tail) check() error {
	if err := checkOptional("clientId", t.q.ClientID, protocol.CheckClientID); err != nil {
		return err
	}
	for _, typ := range t.q.Types {
		if !slices.Contains(store.EventTypes, typ) {
			return &FieldError{Field: "type", Problem: "is none of " + strings.Join(store.EventTypes, ", ")}
		}
	}
	if t.q.ClientID != "" {
		t.partition, t.pace = t.h.store.Partition(t.q.ClientID), tailPaceOne
	}
	if t.q.After == "" {
		return nil
	}
	var err error
	if t.pos, err = store.ParseEventPos(t.q.After); err != nil {
		return badEventPos
	}
	return nil
}

var badEventPos = &FieldError{Field: eventPosName, Problem: "is not a position that events came with"}

func (t *tail) run(ctx context.Context, l *listener, f func([]Event, string) error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for first := true; ; first = false {
		began := time.Now()
		page, err := t.h.store.EventsAfter(ctx, t.pos, t.partition)
		wait := tailScan
		switch {
		case err == nil:
			if err := t.give(page, f); err != nil {
				return err
			}
			if page.More {
				wait = 0
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, store.ErrBadEventPos):
			return badEventPos
		case first || !errors.Is(err, ErrUnavailable):
			return doing("read events", err)
		default:
			if err := f(nil, t.pos.String()); err != nil {
				return err
			}
			wait = tailRetry
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.h.hints.closed:
			return closedError()
		case <-l.wake:
		case <-timer.C:
		}
		timer.Reset(t.pace - time.Since(began)) // not in the past: the timer fires then
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// give hands a page over, in pieces.
func (t *tail) give(page store.EventPage, f func([]Event, string) error) error {
	var piece []Event
	if page.Lost != nil && page.Lost.Time > t.told {
		piece = append(piece, Event(*page.Lost))
		t.told = page.Lost.Time
	}
	for _, e := range page.Events {
		t.pos, e.Event.Pos = e.Pos, e.Pos.String()
		if !t.wants(&e.Event) {
			continue
		}
		if piece = append(piece, Event(e.Event)); len(piece) == tailAtOnce {
			if err := f(piece, t.pos.String()); err != nil {
				return err
			}
			piece = nil
		}
	}
	t.pos = page.Next
	return f(piece, t.pos.String())
}

func (t *tail) wants(e *store.Event) bool {
	return (t.q.ClientID == "" || e.ClientID == t.q.ClientID) && (len(t.q.Types) == 0 || slices.Contains(t.q.Types, e.Type))
}
