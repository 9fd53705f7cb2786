package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// How a client's request finds a backend, and the answer the client. The node appends it to a stream of the client's
// partition (request.lua). A consumer group of backends reads it as events are read; the one that gets it works on it
// beside others, and when it dies before it has answered, another reads it again. The answer removes the request, so
// that only the first one counts, and is published on the client's channel (reply.lua). It is addressed to the session
// and not to the connection, and kept for a while: a client that resumes its session on another node gets it there.

//go:embed lua/request.lua
var requestLua string

var requestScript = newScript("request", requestLua)

const (
	requestField = "r"
	// maxRequests bounds what waits in one partition, answered late or never.
	maxRequests = 200
	// requestForget is the age of a request that nobody waits for any more.
	requestForget = 2 * protocol.RequestTimeout
	// replyTTL is how long answers are kept for a client that is not connected just then, from the last of them on.
	replyTTL = 30 * time.Second
	// maxReplies is how many are kept of a session, the last ones: those that it may have missed, twice over.
	maxReplies = 2 * protocol.MaxRequests
)

var (
	// ErrNoHandler means that no backend has ever said that it answers requests.
	ErrNoHandler = errors.New("no backend answers requests")
	// ErrBusy means that as many requests wait as may.
	ErrBusy = errors.New("too many requests wait")
)

// Request is what a client asks of backends.
type Request struct {
	ID       string          `json:"id"` // the client's own
	ClientID string          `json:"clientId"`
	Device   string          `json:"device"`
	ConnID   string          `json:"connId"`
	Origin   string          `json:"origin"` // the first connection of the session
	Node     string          `json:"node"`
	Meta     json.RawMessage `json:"meta,omitempty"` // as it was given at pre-connect
	Data     json.RawMessage `json:"data"`

	Time time.Time `json:"-"` // when Redis got it, by its clock
}

// Request passes requests on and returns what became of each: nil, ErrNoHandler, ErrBusy or ErrUnavailable.
func (s *Store) Request(ctx context.Context, rs []Request) []error {
	calls := make([]call, len(rs))
	errs := make([]error, len(rs))
	for i := range rs {
		text, err := json.Marshal(&rs[i])
		if err != nil {
			errs[i] = fmt.Errorf("request of %s: %w", rs[i].ClientID, err)
			text = nil
		}
		p := s.keys.partition(rs[i].ClientID)
		calls[i] = call{[]string{s.keys.requests(p)}, []string{string(text), strconv.Itoa(maxRequests), millis(requestForget),
			s.keys.requestChannel(), strconv.Itoa(p)}}
	}
	for i, r := range s.runMany(ctx, requestScript, calls) {
		if errs[i] != nil {
			continue
		}
		answer, err := r.ToString()
		switch {
		case err != nil:
			errs[i] = wrap("request of "+rs[i].ClientID, err)
		case answer == "none":
			errs[i] = ErrNoHandler
		case answer == "busy":
			errs[i] = ErrBusy
		}
	}
	return errs
}

// Reply is an answer that a session may have missed.
type Reply struct {
	ID    string // of the request
	Frame string
}

// Replies returns the answers that a session may have missed, the latest first, and at most twice as many as requests may
// wait.
func (s *Store) Replies(ctx context.Context, clientID, origin string) ([]Reply, error) {
	key := s.keys.replies(s.keys.partition(clientID), origin)
	cells, err := s.do(ctx, s.client.B().Lrange().Key(key).Start(0).Stop(2*maxReplies-1).Build()).AsStrSlice()
	out := make([]Reply, 0, len(cells)/2)
	for i := 0; i+1 < len(cells); i += 2 {
		out = append(out, Reply{cells[i], cells[i+1]})
	}
	return out, wrap("missed replies of "+clientID, err)
}
