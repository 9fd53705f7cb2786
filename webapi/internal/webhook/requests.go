package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/imhelper"
)

// request is the data of a webhook of type request.
type request struct {
	ID       string          `json:"id"`
	ClientID string          `json:"clientId"`
	Device   string          `json:"device"`
	ConnID   string          `json:"connId"`
	Node     string          `json:"node"`
	Time     int64           `json:"time"`
	Meta     json.RawMessage `json:"meta,omitempty"`
	Data     json.RawMessage `json:"data"`
}

// requestID is the webhook-id of a request: the same when it comes again. Names may hold anything, an id may not.
func requestID(r imhelper.Request) string {
	sum := sha256.Sum256([]byte(r.Key))
	return "req_" + hex.EncodeToString(sum[:16])
}

// onRequest asks the receiver and returns its answer: the JSON of a 2xx, or the code and message of a 4xx. There is one
// attempt: the client waits.
func (w *Webhook) onRequest(ctx context.Context, r imhelper.Request) (any, error) {
	body, err := encode("request", r.Time, request{
		ID: r.ID, ClientID: r.ClientID, Device: r.Device, ConnID: r.ConnID, Node: r.Node, Time: r.Time.UnixMilli(),
		Meta: r.Meta, Data: r.Data,
	})
	if err != nil {
		return nil, err
	}
	answer, err := w.post(ctx, requestID(r), body, max(w.o.Helper.MaxMessage(), maxIgnored+1))
	var no *refusal
	switch {
	case err == nil && len(answer) == 0:
		return nil, nil
	case err == nil:
		return json.RawMessage(answer), nil
	case errors.As(err, &no) && no.status >= http.StatusBadRequest && no.status < http.StatusInternalServerError:
		var said struct{ Code, Message string }
		if json.Unmarshal(no.body, &said) == nil && printable(said.Code) {
			return nil, imhelper.Refuse(said.Code, said.Message)
		}
	}
	if ctx.Err() == nil {
		w.o.Log.Warn("webhook did not answer a request", zap.String("client_id", r.ClientID), zap.Error(err))
	}
	return nil, err
}

// printable keeps a code that a receiver made up to what a program compares.
func printable(code string) bool {
	return code != "" && len(code) <= 64 && strings.IndexFunc(code, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
