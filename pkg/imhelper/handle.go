package imhelper

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// RequestTimeout is how long a client waits for the answer to its request.
const RequestTimeout = protocol.RequestTimeout

// Request is what a client asks of the backends: a frame {"type":"request","id","data"} of a connection whose URL was
// issued with MayRequest. imserver has looked into nothing of it but its size.
type Request struct {
	// Key is the same each time this request comes, also when the client sent it again with the same id because it
	// got no answer: what must be done once is to be done once per Key.
	Key      string
	ID       string // as the client named it
	ClientID string
	Device   string
	ConnID   string
	Node     string
	Meta     json.RawMessage // as it was given at pre-connect; nil if none was
	Data     json.RawMessage // any JSON, from the client: not to be trusted
	Time     time.Time       // when Redis got it, by its clock
}

// Refusal is an error that a handler of requests returns in order to tell the client more than that it failed.
type Refusal struct {
	Code    string // for programs, such as "not_found"
	Message string // for people; may be empty
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// Refuse makes a Refusal: the client gets {"type":"reply","id","error":{"code","message"}}. Each is cut to 512 bytes.
func Refuse(code, message string) error { return &Refusal{Code: code, Message: message} }

// Handle answers requests of clients and blocks until ctx ends and its handlers have returned, then it returns ctx's
// error. While Redis is away it waits.
//
// Members of the same group, in any number of processes, share the requests: each goes to one of them. When that one dies
// before it has answered, another gets the request, within some 5 seconds, so handler may see a request twice: see Key.
// All backends that answer should use one group; with several, the first answer counts.
//
// What handler returns is encoded as JSON (json.RawMessage is taken as it is) and sent to the client, as data of a
// frame {"type":"reply","id","data"}, on whatever node it is by then, if it still waits or has resumed its session.
// An error refuses: a Refusal is told to the client, any other as code "failed", without its text. handler's context
// ends when the client no longer waits (RequestTimeout after it asked), which is told as code "timeout". When ctx has
// ended and handler returns an error, the request is left to another member. Handlers run side by side.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) Handle(ctx context.Context, group string, handler func(context.Context, Request) (reply any, err error), opts ...ConsumeOption) error {
	if err := checkGroup("group", group); err != nil {
		return err
	}
	answer := func(within context.Context, r store.Request) []byte {
		reply, err := handler(within, Request{
			Key: r.ClientID + "\n" + r.ID, ID: r.ID, ClientID: r.ClientID, Device: r.Device, ConnID: r.ConnID, Node: r.Node,
			Meta: r.Meta, Data: r.Data, Time: r.Time,
		})
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil && within.Err() != nil:
			return protocol.RefusalFrame(r.ID, protocol.Refuse(protocol.RefusedTimeout))
		case err != nil:
			return protocol.RefusalFrame(r.ID, refusalOf(err))
		}
		return h.replyFrame(r.ID, reply)
	}
	return doing("handle requests", h.store.ConsumeRequests(ctx, group, rand.Text(), answer, consumeOptions(opts)))
}

// replyFrame encodes an answer. One that cannot be sent is the backend's mistake, and the client is told of it.
func (h *Helper) replyFrame(id string, reply any) []byte {
	data, err := json.Marshal(reply)
	failed := protocol.Refuse(protocol.RefusedFailed)
	switch {
	case err != nil || !utf8.Valid(data):
		failed.Message = "the backend's reply is not JSON"
	case len(data) > h.maxMessage:
		failed.Message = "the backend's reply is too big"
	default:
		return protocol.ReplyFrame(id, data)
	}
	return protocol.RefusalFrame(id, failed)
}

func refusalOf(err error) protocol.Refusal {
	var r *Refusal
	if !errors.As(err, &r) || r.Code == "" {
		return protocol.Refuse(protocol.RefusedFailed)
	}
	return protocol.Refusal{Code: cut(r.Code), Message: cut(r.Message)}
}

// cut shortens what goes into a refusal; json.Marshal takes care of a character that is cut through.
func cut(text string) string { return text[:min(len(text), protocol.MaxRefusalLen)] }
