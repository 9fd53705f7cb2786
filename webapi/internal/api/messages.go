package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/imtier/imtier/pkg/imhelper"
)

// waitTimeout is for sends that wait for receipts. What does not wait is bounded by the store.
const waitTimeout = opTimeout + imhelper.MaxWait

// messages sends to clients, groups and everybody.
type messages struct{ h *imhelper.Helper }

func (m messages) routes() []route {
	// A message's data, base64 included, and the largest list of receivers with every character escaped.
	maxBody := int64(m.h.MaxMessage())*4/3 + 1<<20
	return []route{
		serve(route{
			method: http.MethodPost, path: "/v1/messages", id: "sendMessage", tag: "Sending", maxBody: maxBody, timeout: untimed,
			summary: "Send a message to one or many clients",
			detail: "When it is answered the message is kept for every receiver, and reaches each of them that is " +
				"connected or comes back within the retention. Repeat a failed send with the same `id`: it is not made twice.",
		}, m.send),
		serve(route{
			method: http.MethodPost, path: "/v1/groups/{group}/messages", id: "sendGroupMessage", tag: "Sending", maxBody: maxBody, timeout: untimed,
			summary: "Send a message to the members of a group",
			detail: "When it is answered the message is kept in the group's stream, whether or not the group has members. Repeat a " +
				"failed send with the same `id`: it is not made twice.",
		}, m.sendGroup),
		serve(route{
			method: http.MethodPost, path: "/v1/broadcast", id: "broadcast", tag: "Sending", maxBody: maxBody, timeout: untimed,
			summary: "Send a message to everybody",
			detail:  "When it is answered the message is kept for everybody who is connected or comes back within the retention.",
		}, m.broadcast),
	}
}

// content is what all messages have in common.
type content struct {
	From      name            `json:"from,omitempty" minLength:"1" maxLength:"128" example:"bob" description:"The sender's clientId; absent: the system."`
	Data      json.RawMessage `json:"data,omitempty" description:"Any JSON. Either this or binary is required."`
	Binary    []byte          `json:"binary,omitempty" description:"Bytes in base64, delivered as a binary frame."`
	ID        name            `json:"id,omitempty" minLength:"1" maxLength:"64" description:"Makes the send idempotent for 5 minutes: the same id gets the first answer."`
	Ephemeral bool            `json:"ephemeral,omitempty" description:"Stored nowhere: only who is connected at this moment may get it."`
}

type directBody struct {
	To receivers `json:"to" required:"true" description:"A clientId, or a list of up to 1000."`
	content
	Receipt    string `json:"receipt,omitempty" enum:"none,delivered,read" default:"none" description:"Tell the sender, in its inbox and by a receipt event, when each receiver has got the message, has read it, or has let it expire. Not with ephemeral."`
	TTL        int64  `json:"ttl,omitempty" minimum:"0" maximum:"2592000" description:"Seconds that the message is worth delivering; 0: as long as it is kept. With a receipt, a receiver that has not got it by then is reported expired."`
	Echo       bool   `json:"echo,omitempty" description:"The sender's devices get the message too."`
	ExceptConn name   `json:"exceptConn,omitempty" description:"connId of a connection that does not get it."`
	WaitMs     int64  `json:"waitMs,omitempty" minimum:"0" maximum:"30000" description:"Answer when every receiver has acknowledged the message (has read it, when receipt is read), at the latest after so many milliseconds. Not with ephemeral, nor in a batch."`
}

type groupBody struct {
	content
	ExceptSender bool `json:"exceptSender,omitempty" description:"The sender's own devices do not get it."`
	ExceptConn   name `json:"exceptConn,omitempty" description:"connId of a connection that does not get it."`
}

type groupMessageIn struct {
	Group string `path:"group" json:"-"`
	groupBody
}

type broadcastBody struct {
	content
	Devices []string `json:"devices,omitempty" maxItems:"1000" description:"Only connections of these devices get it."`
}

type sendOut struct {
	ID        string        `json:"id" description:"The message's id." example:"0190b6f0-7a4e-7c3a-9d1e-3f5b8c2a1d00"`
	Results   []deliveryOut `json:"results" description:"One per receiver, in their order, repeated ones once."`
	Duplicate bool          `json:"duplicate,omitempty" description:"Nothing was sent: every receiver has a message with this id already."`
}

type deliveryOut struct {
	ClientID  string `json:"clientId" example:"alice"`
	Pos       string `json:"pos,omitempty" description:"Position in the client's inbox; absent when ephemeral." example:"1700000000000-7"`
	Online    bool   `json:"online" description:"Whether the client was online."`
	Duplicate bool   `json:"duplicate,omitempty" description:"This receiver has it from an earlier send with the same id."`
	State     string `json:"state,omitempty" enum:"queued,delivered,read,expired" description:"With waitMs: what became of it; queued when the receiver did not acknowledge it in time."`
}

type postOut struct {
	ID        string `json:"id" description:"The message's id." example:"0190b6f0-7a4e-7c3a-9d1e-3f5b8c2a1d00"`
	Pos       string `json:"pos,omitempty" description:"Position in the stream; absent when ephemeral." example:"1700000000000-7"`
	Duplicate bool   `json:"duplicate,omitempty" description:"Nothing was sent: a message with this id is there already."`
}

func (m messages) send(ctx context.Context, in *directBody) (*sendOut, error) {
	msg, err := in.message()
	if err != nil {
		return nil, err
	}
	if msg.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, waitTimeout)
		defer cancel()
	}
	r, err := m.h.Send(ctx, msg)
	if err != nil {
		return nil, err
	}
	return newSendOut(r), nil
}

func (m messages) sendGroup(ctx context.Context, in *groupMessageIn) (*postOut, error) {
	msg, err := in.message(in.Group)
	if err != nil {
		return nil, err
	}
	r, err := m.h.SendGroup(ctx, msg)
	if err != nil {
		return nil, err
	}
	return newPostOut(r), nil
}

func (m messages) broadcast(ctx context.Context, in *broadcastBody) (*postOut, error) {
	msg, err := in.message()
	if err != nil {
		return nil, err
	}
	r, err := m.h.Broadcast(ctx, msg)
	if err != nil {
		return nil, err
	}
	return newPostOut(r), nil
}

func (in *directBody) message() (imhelper.Message, error) {
	msg := imhelper.Message{
		To: in.To, Data: in.Data, Binary: in.Binary, Ephemeral: in.Ephemeral, Echo: in.Echo, Receipt: imhelper.Receipt(in.Receipt),
	}
	if in.WaitMs < 0 || in.WaitMs > imhelper.MaxWait.Milliseconds() { // beyond it might not fit into a duration
		return msg, &imhelper.FieldError{Field: "waitMs", Problem: fmt.Sprintf("is %d, want 0 to %d", in.WaitMs, imhelper.MaxWait.Milliseconds())}
	}
	msg.Wait = time.Duration(in.WaitMs) * time.Millisecond
	ttl, err := seconds("ttl", in.TTL)
	if err != nil {
		return msg, err
	}
	msg.TTL = ttl
	err = names{
		{"from", in.From, &msg.From}, {"id", in.ID, &msg.ID}, {"exceptConn", in.ExceptConn, &msg.ExceptConn},
	}.fill()
	return msg, err
}

func (in *groupBody) message(group string) (imhelper.GroupMessage, error) {
	msg := imhelper.GroupMessage{
		Group: group, Data: in.Data, Binary: in.Binary, Ephemeral: in.Ephemeral, ExceptSender: in.ExceptSender,
	}
	err := names{
		{"from", in.From, &msg.From}, {"id", in.ID, &msg.ID}, {"exceptConn", in.ExceptConn, &msg.ExceptConn},
	}.fill()
	return msg, err
}

func (in *broadcastBody) message() (imhelper.BroadcastMessage, error) {
	msg := imhelper.BroadcastMessage{Data: in.Data, Binary: in.Binary, Ephemeral: in.Ephemeral, Devices: in.Devices}
	err := names{{"from", in.From, &msg.From}, {"id", in.ID, &msg.ID}}.fill()
	return msg, err
}

func newSendOut(r *imhelper.SendResult) *sendOut {
	out := &sendOut{ID: r.ID, Results: make([]deliveryOut, len(r.Results)), Duplicate: r.Duplicate}
	for i, d := range r.Results {
		out.Results[i] = deliveryOut{ClientID: d.ClientID, Pos: posText(d.Pos), Online: d.Online, Duplicate: d.Duplicate, State: string(d.State)}
	}
	return out
}

func newPostOut(r *imhelper.PostResult) *postOut {
	return &postOut{ID: r.ID, Pos: posText(r.Pos), Duplicate: r.Duplicate}
}
