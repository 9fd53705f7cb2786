package imhelper

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/imtier/imtier/pkg/store"
)

// Event is something that happened to a client: it went online or offline, joined or left a group, or became the subject
// of a receipt: it acknowledged or read a message whose sender wanted to know, or let it expire. Or, with Type
// EventLost, it says that there were events which nobody can tell any more.
type Event = store.Event

// The types of events.
const (
	EventOnline  = store.EventOnline
	EventOffline = store.EventOffline
	EventJoin    = store.EventJoin
	EventLeave   = store.EventLeave
	EventReceipt = store.EventReceipt
	EventLost    = store.EventLost
)

// IsEventType reports whether events of that type happen to clients.
func IsEventType(typ string) bool { return slices.Contains(store.EventTypes, typ) }

// ConsumeOption refines one call of Events or Handle.
type ConsumeOption func(*store.ConsumeOptions)

// Concurrency is how many handlers of one call run side by side at most. If not given, 8 for Events, each for another
// client, and 64 for Handle.
func Concurrency(n int) ConsumeOption {
	return func(o *store.ConsumeOptions) { o.Workers = n }
}

// Ready is for Events: f is called once the group is there, before the first event comes. What happens from then on the
// group does not miss; a new group knows nothing of what was before, and may look it up then.
func Ready(f func()) ConsumeOption {
	return func(o *store.ConsumeOptions) { o.Ready = f }
}

// RetryAfter is for handlers of Events: the error makes the event come again after d, instead of after a time that
// doubles from 100 ms to 10 s. Events of other clients go on meanwhile, except some that share the client's partition.
func RetryAfter(d time.Duration, err error) error { return &store.RetryError{After: d, Err: err} }

// Events gives every event of the installation to handler and blocks until ctx ends, then it returns ctx's error.
// While Redis is away it waits.
//
// Members of the same group, in any number of processes, share the events: each is delivered to one of them, at least
// once, also what happened while no member was running. A new group starts with what happens from now on. Events of one
// client come in their order, one at a time; those of different clients side by side, so handler must be safe for that.
// When handler returns an error it gets the same event again later. An event that is delivered twice has the same Key
// both times; per client Seq rises.
//
// Redis keeps about EventsSize events per partition. When the group was away for longer than that, handler gets an event
// of type EventLost in place of those that are gone, once for each partition, and has to compare what it made of
// earlier events with the present state (Online, OnlineClients, GroupMembers).
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) Events(ctx context.Context, group string, handler func(context.Context, Event) error, opts ...ConsumeOption) error {
	if err := checkGroup("group", group); err != nil {
		return err
	}
	return doing("consume events", h.store.ConsumeEvents(ctx, group, rand.Text(), handler, consumeOptions(opts)))
}

func consumeOptions(opts []ConsumeOption) (o store.ConsumeOptions) {
	for _, opt := range opts {
		opt(&o)
	}
	return o
}
