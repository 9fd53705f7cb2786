package demo

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"

	"github.com/imtier/imtier/pkg/imhelper"
)

// maxBody is enough for a message of maxText characters of 4 bytes, every one of them escaped.
const maxBody = 32 << 10

// refusal is an error that is the caller's.
type refusal struct {
	status       int
	code, detail string
}

func (r *refusal) Error() string { return r.detail }

// decode reads a JSON body into v; when it returns false the request has been answered.
func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var tooBig *http.MaxBytesError
	switch {
	case err == nil:
		return true
	case errors.As(err, &tooBig):
		refuse(w, http.StatusRequestEntityTooLarge, "too_large", "The body is too large.")
	default:
		refuse(w, http.StatusBadRequest, "bad_json", "The body is not the JSON that is expected: "+err.Error())
	}
	return false
}

func answer(w http.ResponseWriter, status int, v any) {
	write(w, status, "application/json", v)
}

// refuse answers with a problem (RFC 9457).
func refuse(w http.ResponseWriter, status int, code, detail string) {
	write(w, status, "application/problem+json", map[string]any{
		"title": http.StatusText(status), "status": status, "code": code, "detail": detail,
	})
}

func tooFast(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "2")
	refuse(w, http.StatusTooManyRequests, "too_fast", "That was too fast. Wait a moment.")
}

func write(w http.ResponseWriter, status int, kind string, v any) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store") // sessions and URLs are as good as a password
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only when the client has gone
}

// fail answers with what err calls for, and reports what the caller cannot help.
func (d *Demo) fail(w http.ResponseWriter, err error) {
	var own *refusal
	switch {
	case errors.As(err, &own):
		refuse(w, own.status, own.code, own.detail)
	case errors.Is(err, imhelper.ErrInvalid):
		refuse(w, http.StatusBadRequest, "invalid", err.Error())
	case errors.Is(err, imhelper.ErrNoNode):
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "no_node", "No imserver takes connections at the moment.")
	case errors.Is(err, imhelper.ErrUnavailable):
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "unavailable", "Redis is not available at the moment.")
	default:
		d.onError(err)
		refuse(w, http.StatusInternalServerError, "internal", "Something went wrong.")
	}
}

// hostOf is an address without its port.
func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}
