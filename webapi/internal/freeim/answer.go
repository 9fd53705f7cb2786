package freeim

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/imtier/imtier/pkg/imhelper"
)

// succeed answers with code 0 and what else there is to say.
func succeed(w http.ResponseWriter, answer map[string]any) {
	if answer == nil {
		answer = make(map[string]any, 1)
	}
	answer["code"] = 0
	write(w, http.StatusOK, answer)
}

// fail answers with the error's status, which is the code as well.
func fail(w http.ResponseWriter, err error) {
	status, message := describe(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	write(w, status, map[string]any{"code": status, "message": message})
}

// fieldNames are this API's names of what imhelper complains about; ids and channels were checked before.
var fieldNames = map[string]string{"data": "message"}

// describe gives an error's status, and what to tell about it: nothing that only concerns the operator.
func describe(err error) (status int, message string) {
	var field *imhelper.FieldError
	var own *fieldError
	switch {
	case errors.As(err, &field):
		name, ok := fieldNames[field.Field]
		if !ok {
			name = field.Field
		}
		if field.TooBig {
			return http.StatusRequestEntityTooLarge, name + " " + field.Problem
		}
		return http.StatusBadRequest, name + " " + field.Problem
	case errors.As(err, &own), errors.Is(err, errBadForm):
		return http.StatusBadRequest, err.Error()
	case errors.Is(err, errFormSize):
		return http.StatusRequestEntityTooLarge, err.Error()
	case errors.Is(err, errNotForm):
		return http.StatusUnsupportedMediaType, err.Error()
	case errors.Is(err, imhelper.ErrVetoed):
		return http.StatusForbidden, "the message was refused"
	case errors.Is(err, imhelper.ErrNoNode):
		return http.StatusServiceUnavailable, "no imserver takes connections at the moment"
	case errors.Is(err, imhelper.ErrUnavailable):
		return http.StatusServiceUnavailable, "Redis is not available at the moment"
	}
	return http.StatusInternalServerError, "something went wrong"
}

func write(w http.ResponseWriter, status int, answer map[string]any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store") // answers hold URLs that are as good as a password
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // fails only when the client has gone
}
