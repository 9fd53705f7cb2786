package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/imtier/imtier/pkg/imhelper"
)

// Problem is the body of every error (RFC 9457). Code is stable; Detail is for people and may change.
type Problem struct {
	Type   string `json:"type" description:"Always about:blank: code says what happened." example:"about:blank"`
	Title  string `json:"title" description:"The status in words." example:"Bad Request"`
	Status int    `json:"status" description:"The HTTP status." example:"400"`
	Code   string `json:"code" description:"What happened, stable, for programs." example:"invalid_field"`
	Detail string `json:"detail" description:"What happened, for people." example:"to is empty"`
	Field  string `json:"field,omitempty" description:"The field or parameter that is wrong." example:"to"`

	retryAfter int // seconds; 0 sends no Retry-After
}

// Codes of problems. They are part of the API.
const (
	codeInvalidJSON      = "invalid_json"
	codeInvalidField     = "invalid_field"
	codeUnknownField     = "unknown_field"
	codeUnauthorized     = "unauthorized"
	codeForbidden        = "forbidden"
	codeNotFound         = "not_found"
	codeMethodNotAllowed = "method_not_allowed"
	codeTooBig           = "too_big"
	codeMediaType        = "unsupported_media_type"
	codeInternal         = "internal"
	codeNoNode           = "no_node"
	codeUnavailable      = "unavailable"
	codeTooManyStreams   = "too_many_streams"
	codeNoWebhook        = "no_webhook"
	codeNotDelivered     = "not_delivered"
)

// retrySeconds is the Retry-After of a 503: Redis and imservers come back, if at all, within seconds.
const retrySeconds = 1

func problem(status int, code, detail string) *Problem {
	p := &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
	if status == http.StatusServiceUnavailable {
		p.retryAfter = retrySeconds
	}
	return p
}

// fieldProblem is a 400 about a field or parameter.
func fieldProblem(code, field, detail string) *Problem {
	p := problem(http.StatusBadRequest, code, field+" "+detail)
	p.Field = field
	return p
}

// Error makes a Problem something that a resource method can return.
func (p *Problem) Error() string { return p.Detail }

// Unavailable is the answer while there is no connection to Redis.
func Unavailable(w http.ResponseWriter) {
	problem(http.StatusServiceUnavailable, codeUnavailable, "Redis cannot be reached; try again").write(w)
}

// problemOf finds the problem that an error is. Errors that are nobody's fault but ours become a 500 without their
// text, and are reported as unexpected.
func problemOf(err error) (p *Problem, unexpected bool) {
	var field *imhelper.FieldError
	switch {
	case errors.As(err, &p):
		return p, false
	case errors.As(err, &field):
		p = fieldProblem(codeInvalidField, field.Field, field.Problem)
		if field.TooBig {
			p.Status, p.Code = http.StatusRequestEntityTooLarge, codeTooBig
			p.Title = http.StatusText(p.Status)
		}
		return p, false
	case errors.Is(err, imhelper.ErrNoNode):
		return problem(http.StatusServiceUnavailable, codeNoNode, "no imserver takes connections at the moment; try again"), false
	case errors.Is(err, imhelper.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, codeUnavailable,
			"Redis is away or refuses to write; try again (a send with the same id is not made twice)"), false
	case errors.Is(err, imhelper.ErrNotFound):
		return problem(http.StatusNotFound, codeNotFound, "there is no such connection, node or dead letter"), false
	}
	return problem(http.StatusInternalServerError, codeInternal, "something went wrong on this side"), true
}

func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // strings and numbers always encode; the client may be gone
}
