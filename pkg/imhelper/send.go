package imhelper

import (
	"context"
	"fmt"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// SendResult is the answer to Send.
type SendResult struct {
	ID      string     `json:"id"`      // of the message: the given one, or the one that was made
	Results []Delivery `json:"results"` // one per receiver, in the order of Message.To without repetitions
	// Duplicate is true when every receiver already had a message with this ID: nothing was sent.
	Duplicate bool `json:"duplicate,omitempty"`
}

// Delivery is what became of a message for one receiver.
type Delivery struct {
	ClientID  string            `json:"clientId"`
	Pos       protocol.Position `json:"pos,omitzero"`        // in the receiver's inbox; zero when the message is ephemeral
	Online    bool              `json:"online"`              // whether the receiver had a connection at that moment
	Duplicate bool              `json:"duplicate,omitempty"` // an earlier send with this ID put it there
	// State is set when Message.Wait was: StateQueued when the receiver has not acknowledged it in time.
	State State `json:"state,omitempty"`
}

// State is what has become of a message at a receiver.
type State string

const (
	StateQueued    State = "queued"                // kept, and not acknowledged yet
	StateDelivered State = protocol.StateDelivered // one of the receiver's devices has it
	StateRead      State = protocol.StateRead      // and its user has read it
	StateExpired   State = protocol.StateExpired   // its TTL passed before that
)

// PostResult is the answer to SendGroup and Broadcast.
type PostResult struct {
	ID        string            `json:"id"`
	Pos       protocol.Position `json:"pos,omitzero"` // in the stream of the group or of all; zero when the message is ephemeral
	Duplicate bool              `json:"duplicate,omitempty"`
}

// Send sends a message to clients. When it returns without error the message is in the inbox of every receiver, in
// Redis, and reaches each of them that is connected or comes back within the retention. With an error a part of the
// receivers may have it: repeat the send with the same ID.
//
// With Message.Wait it returns when all receivers have acknowledged the message, or that time is over; results say what
// is known then. ErrUnavailable may then also mean that the message was sent and Redis went away while waiting.
//
// Errors: FieldError, ErrVetoed, ErrUnavailable.
func (h *Helper) Send(ctx context.Context, m Message) (*SendResult, error) {
	p, err := h.direct(m)
	if err != nil {
		return nil, err
	}
	if p.wait > 0 {
		return h.sendAndWait(ctx, p)
	}
	receipts, err := h.publishOne(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	return p.sendResult(receipts), nil
}

// sendAndWait listens before it sends, so that no answer is missed.
func (h *Helper) sendAndWait(ctx context.Context, p *post) (*SendResult, error) {
	w, err := h.waits.begin(ctx, p.env.ID, p.env.Receipt)
	if err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	defer h.waits.end(w)
	p.await.Waiter = h.waits.name
	receipts, err := h.publishOne(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	states, err := h.waits.wait(ctx, w, receipts, p.wait)
	if err != nil {
		return nil, fmt.Errorf("send: the message is sent; wait for receipts: %w", err)
	}
	r := p.sendResult(receipts)
	for i := range r.Results {
		r.Results[i].State = states[i]
	}
	return r, nil
}

// SendGroup sends a message to the members of a group. When it returns without error the message is in the group's
// stream, in Redis, whether or not the group has members. With an error it may be there: repeat it with the same ID.
//
// Errors: FieldError, ErrVetoed, ErrUnavailable.
func (h *Helper) SendGroup(ctx context.Context, m GroupMessage) (*PostResult, error) {
	p, err := h.toGroup(m)
	if err != nil {
		return nil, err
	}
	receipts, err := h.publishOne(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("send to group: %w", err)
	}
	return p.postResult(receipts), nil
}

// Broadcast sends a message to every client. When it returns without error the message is in the stream that all
// clients follow, in Redis. With an error it may be there: repeat it with the same ID.
//
// Errors: FieldError, ErrVetoed, ErrUnavailable.
func (h *Helper) Broadcast(ctx context.Context, m BroadcastMessage) (*PostResult, error) {
	p, err := h.toAll(m)
	if err != nil {
		return nil, err
	}
	receipts, err := h.publishOne(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("broadcast: %w", err)
	}
	return p.postResult(receipts), nil
}

// askOnSend calls the hook, if there is one.
func (h *Helper) askOnSend(ctx context.Context, p *post) error {
	if h.onSend == nil {
		return nil
	}
	if err := h.onSend(ctx, p.sending()); err != nil {
		return fmt.Errorf("%w: %w", ErrVetoed, err)
	}
	return nil
}

func (h *Helper) publishOne(ctx context.Context, p *post) ([]store.Receipt, error) {
	if err := h.askOnSend(ctx, p); err != nil {
		return nil, err
	}
	var room [2]store.Publication
	results := h.store.PublishMany(ctx, p.publications(room[:0]))
	for _, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
	}
	return results[0].Receipts, nil
}

func (p *post) sendResult(receipts []store.Receipt) *SendResult {
	r := &SendResult{ID: p.env.ID, Results: make([]Delivery, len(receipts)), Duplicate: len(receipts) > 0}
	for i, x := range receipts {
		r.Results[i] = Delivery{ClientID: x.Addr, Pos: x.Pos, Online: x.Online, Duplicate: x.Duplicate}
		r.Duplicate = r.Duplicate && x.Duplicate
	}
	return r
}

func (p *post) postResult(receipts []store.Receipt) *PostResult {
	r := &PostResult{ID: p.env.ID}
	if len(receipts) > 0 {
		r.Pos, r.Duplicate = receipts[0].Pos, receipts[0].Duplicate
	}
	return r
}
