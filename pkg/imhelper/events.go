package imhelper

import (
	"context"
	"crypto/rand"

	"github.com/imtier/imtier/pkg/store"
)

// Event is something that happened to a client: it went online or offline, joined or left a group, or became the subject
// of a receipt: it acknowledged or read a message whose sender wanted to know, or let it expire.
type Event = store.Event

// Events gives every event of the installation to handler and blocks until ctx ends, then it returns ctx's error.
// While Redis is away it waits.
//
// Members of the same group, in any number of processes, share the events: each is delivered to one of them, at least
// once, also what happened while no member was running (up to about 10,000 events per partition). A new group starts
// with what happens from now on. Events of one client come in their order, one at a time; those of different clients
// side by side, so handler must be safe for that. When handler returns an error it gets the same event again later.
// An event that is delivered twice has the same Seq both times.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) Events(ctx context.Context, group string, handler func(context.Context, Event) error) error {
	if err := checkGroup("group", group); err != nil {
		return err
	}
	return doing("consume events", h.store.ConsumeEvents(ctx, group, rand.Text(), handler))
}
