package protocol

import (
	"encoding/json"
	"time"
)

// Limits of requests from clients to backends.
const (
	// RequestTimeout is how long a client's request waits for its answer.
	RequestTimeout = 10 * time.Second
	// MaxRequests is how many requests of one connection may wait for their answers.
	MaxRequests = 16
	// MaxRefusalLen bounds the code and the message of a refusal, in bytes each.
	MaxRefusalLen = 512
)

// Codes of errors that answer a request. Backends that refuse choose codes of their own.
const (
	RefusedNotAllowed  = "not_allowed" // the URL was issued without mayRequest
	RefusedTooMany     = "too_many"    // too many requests of this connection wait already
	RefusedNoHandler   = "no_handler"  // no backend has ever said that it answers requests
	RefusedBusy        = "busy"        // too many requests wait already
	RefusedTimeout     = "timeout"     // no answer in time; whether a backend acted on it is not known
	RefusedUnavailable = "unavailable" // Redis is away; whether the request got anywhere is not known
	RefusedFailed      = "failed"      // the backend failed, and does not say why
)

// Refusal is the error of a reply.
type Refusal struct {
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
}

// refusalTexts explains the codes of this package to people.
var refusalTexts = map[string]string{
	RefusedNotAllowed:  "this connection may not send requests",
	RefusedTooMany:     "too many requests of this connection wait for their answers",
	RefusedNoHandler:   "no backend answers requests",
	RefusedBusy:        "too many requests wait for their answers",
	RefusedTimeout:     "no answer in time",
	RefusedUnavailable: "the request could not be passed on",
	RefusedFailed:      "the backend failed",
}

// Refuse makes the refusal with one of the codes of this package.
func Refuse(code string) Refusal { return Refusal{Code: code, Message: refusalTexts[code]} }

// ReplyFrame answers a client's request. data is JSON.
func ReplyFrame(id string, data json.RawMessage) []byte {
	b := make([]byte, 0, 40+len(id)+len(data))
	b = append(b, `{"type":"reply","id":`...)
	b = appendJSONString(b, id)
	b = append(b, `,"data":`...)
	b = append(b, data...)
	return append(b, '}')
}

// RefusalFrame answers a client's request with an error.
func RefusalFrame(id string, r Refusal) []byte {
	return mustFrame(struct {
		Type  string  `json:"type"`
		ID    string  `json:"id"`
		Error Refusal `json:"error"`
	}{"reply", id, r})
}
