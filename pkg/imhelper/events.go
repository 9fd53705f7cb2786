package imhelper

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"time"

	"github.com/imtier/imtier/pkg/store"
)

// The types of events.
const (
	EventOnline  = store.EventOnline  // a client's first connection
	EventOffline = store.EventOffline // its last connection is gone, and its grace (IM_OFFLINE_GRACE) over
	EventJoin    = store.EventJoin    // it became a member of a group
	EventLeave   = store.EventLeave   // it is no longer a member of a group
	EventReceipt = store.EventReceipt // it acknowledged or read a message whose sender wanted to know, or let it expire
	// EventLost says that there were events which nobody can tell any more: the consumer was away for longer than they are
	// kept, or Redis lost data. They happened after Since and before Time. It has no ClientID, Seq or Key.
	EventLost = store.EventLost
)

// Event is something that happened to a client. It was recorded in the same step as the change itself, so neither is ever
// there without the other; per client online and offline alternate. As JSON it is the data of GET /v1/events and of webhooks.
type Event struct {
	Type     string          `json:"type"`               // EventOnline, …
	ClientID string          `json:"clientId,omitempty"` // to whom; of a receipt: the receiver
	Device   string          `json:"device,omitempty"`   // of online and offline: that of the first, or the last, connection
	Node     string          `json:"node,omitempty"`     // likewise: the imserver that held it
	Time     int64           `json:"time"`               // Unix ms, by Redis's clock
	Seq      int64           `json:"seq,omitempty"`      // rises with every event of a client; below 2^53
	Meta     json.RawMessage `json:"meta,omitempty"`     // of online and offline: as given at pre-connect
	Group    string          `json:"group,omitempty"`    // of join and leave
	Groups   []string        `json:"groups,omitempty"`   // of offline: what the client was a member of then
	ID       string          `json:"id,omitempty"`       // of a receipt: the message's
	From     string          `json:"from,omitempty"`     // of a receipt: who sent the message; empty means the system
	State    string          `json:"state,omitempty"`    // of a receipt: delivered, read or expired
	Since    int64           `json:"since,omitempty"`    // of lost: Unix ms

	// Key is unique among all events of an installation, and the same when an event is delivered again.
	Key string `json:"-"`
	// Pos is the place behind the event in the order of all, for EventQuery.After. Only TailEvents sets it.
	Pos string `json:"-"`
}

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
// both times; per client Seq rises. Of a member that dies others take over within 30 seconds what it had in hand, and the
// clients that were its own; of one whose ctx ends, at once.
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
	handle := func(ctx context.Context, e store.Event) error { return handler(ctx, Event(e)) }
	return doing("consume events", h.store.ConsumeEvents(ctx, group, rand.Text(), handle, consumeOptions(opts)))
}

func consumeOptions(opts []ConsumeOption) (o store.ConsumeOptions) {
	for _, opt := range opts {
		opt(&o)
	}
	return o
}
