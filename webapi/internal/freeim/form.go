package freeim

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/imtier/imtier/pkg/protocol"
)

const (
	// percentEncoded is how much larger text gets at most when a form carries it: every byte as %XX.
	percentEncoded = 3
	// formOverhead is room for the other fields: two names of 128 bytes, percent-encoded, and the keys.
	formOverhead = 4 << 10
)

// formLimit is the largest body that can carry a message of maxMessage bytes.
func formLimit(maxMessage int) int64 { return int64(maxMessage)*percentEncoded + formOverhead }

// form holds a request's fields under their names in lower case.
type form map[string]string

var (
	errNotForm  = errors.New("the body has to be a form: Content-Type application/x-www-form-urlencoded or multipart/form-data")
	errBadForm  = errors.New("the body is not a well-formed form")
	errFormSize = errors.New("the body is too large")
)

// fieldError names a field and says what is wrong with it.
type fieldError struct{ field, problem string }

func (e *fieldError) Error() string { return e.field + " " + e.problem }

// readForm reads the query and a body of at most limit bytes. Of a field that is given twice the body's, and then
// the first, counts.
func readForm(w http.ResponseWriter, r *http.Request, limit int64) (form, error) {
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if err := parseBody(r, limit); err != nil {
		return nil, err
	}
	f := make(form, len(r.Form))
	for _, values := range []map[string][]string{r.Form, r.PostForm} {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			value := values[name][0]
			if !utf8.ValidString(value) {
				return nil, &fieldError{fmt.Sprintf("%.40q", name), "is not valid UTF-8"}
			}
			f[strings.ToLower(name)] = value
		}
	}
	return f, nil
}

func parseBody(r *http.Request, limit int64) error {
	kind := r.Header.Get("Content-Type")
	var err error
	switch media, _, _ := mime.ParseMediaType(kind); {
	case kind == "" && r.ContentLength <= 0, media == "application/x-www-form-urlencoded": // jQuery sends no type with no fields
		err = r.ParseForm()
	case media == "multipart/form-data":
		err = r.ParseMultipartForm(limit) // all in memory; the limit on the body holds
	case r.ContentLength == 0:
		err = r.ParseForm()
	default:
		return errNotForm
	}
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return errFormSize
	case err != nil:
		return errBadForm
	}
	return nil
}

// text returns a field that must not be empty.
func (f form) text(name string) (string, error) {
	v := f[strings.ToLower(name)]
	if v == "" {
		return "", &fieldError{name, "is missing"}
	}
	return v, nil
}

// client returns a field that is a client's id.
func (f form) client(name string) (string, error) { return f.name(name, protocol.CheckClientID) }

// channel returns the field of that name.
func (f form) channel() (string, error) { return f.name("channel", protocol.CheckGroup) }

func (f form) name(name string, check func(string) error) (string, error) {
	v, err := f.text(name)
	if err != nil {
		return "", err
	}
	if err := check(v); err != nil {
		return "", &fieldError{name, strings.TrimPrefix(err.Error(), protocol.ErrBadName.Error()+": ")}
	}
	return v, nil
}

// clientIfGiven is as client for a field that may be absent.
func (f form) clientIfGiven(name string) (id string, given bool, err error) {
	if f[strings.ToLower(name)] == "" {
		return "", false, nil
	}
	id, err = f.client(name)
	return id, true, err
}

// message is the field of that name as a JSON string: a frame is JSON, and what is inside is the page's affair.
func (f form) message() (json.RawMessage, error) {
	text, err := f.text("message")
	if err != nil {
		return nil, err
	}
	return json.Marshal(text)
}
