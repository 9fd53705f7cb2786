package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/imtier/imtier/pkg/imhelper"
)

const (
	// firstRoom bounds what is allocated for a body before any of it has come.
	firstRoom = 64 << 10
	// maxKeptBuffer bounds the buffers that are kept for later requests: batches of short messages fit; a rare larger body
	// is given back.
	maxKeptBuffer = 512 << 10
)

// buffers are reused: what is decoded from one is copied out of it.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readJSON decodes a request's body into v, strictly. An empty body counts as {}. That a body comes in time is the
// server's matter.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	if r.ContentLength == 0 {
		return nil
	}
	if err := checkContentType(r.Header.Get("Content-Type")); err != nil {
		return err
	}
	if r.ContentLength > limit {
		return bodyTooBig(limit)
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= maxKeptBuffer {
			buf.Reset()
			buffers.Put(buf)
		}
	}()
	body := io.Reader(r.Body)
	if r.ContentLength < 0 {
		body = http.MaxBytesReader(w, r.Body, limit)
	} else { // net/http ends the body where it was said to end; room only for what will soon be there
		buf.Grow(int(min(r.ContentLength, firstRoom)) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(body); err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return bodyTooBig(limit)
		}
		return problem(http.StatusBadRequest, codeInvalidJSON, "the body could not be read to its end")
	}
	if buf.Len() == 0 {
		return nil
	}
	if !utf8.Valid(buf.Bytes()) { // encoding/json would replace bad bytes, and a name would become another one
		return problem(http.StatusBadRequest, codeInvalidJSON, "the body is not valid UTF-8")
	}
	if u, ok := v.(usual); ok && u.readUsual(buf.Bytes()) {
		return nil
	}
	return decodeStrict(buf.Bytes(), v)
}

func bodyTooBig(limit int64) *Problem {
	p := problem(http.StatusRequestEntityTooLarge, codeTooBig, fmt.Sprintf("the body has more than %d bytes", limit))
	p.Field = "body"
	return p
}

func checkContentType(ct string) error {
	if ct == "" || ct == "application/json" {
		return nil
	}
	kind, _, err := mime.ParseMediaType(ct)
	if err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json")) {
		return nil
	}
	return problem(http.StatusUnsupportedMediaType, codeMediaType, "the body has to be JSON: Content-Type: application/json")
}

// decodeStrict decodes one JSON value of valid UTF-8 and refuses unknown fields, wrong types and anything behind the
// value.
func decodeStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return decodeProblem(err)
	}
	if len(bytes.TrimLeft(b[d.InputOffset():], " \t\r\n")) > 0 {
		return problem(http.StatusBadRequest, codeInvalidJSON, "something follows the JSON in the body")
	}
	return nil
}

// unknownPrefix starts encoding/json's error about an unknown field, which has no type of its own.
const unknownPrefix = "json: unknown field "

// decodeProblem says what encoding/json did not like, in terms of fields.
func decodeProblem(err error) error {
	var (
		syntax *json.SyntaxError
		wrong  *json.UnmarshalTypeError
		field  *imhelper.FieldError
		base   base64.CorruptInputError
	)
	switch {
	case errors.As(err, &field):
		return field
	case errors.As(err, &syntax):
		return problem(http.StatusBadRequest, codeInvalidJSON, fmt.Sprintf("the body is not valid JSON, see byte %d", syntax.Offset))
	case errors.As(err, &wrong) && wrong.Field == "":
		return problem(http.StatusBadRequest, codeInvalidJSON, "the body is a JSON "+wrong.Value+", want an object")
	case errors.As(err, &wrong):
		// The path starts with the names of embedded structs, which are not in the JSON.
		name := wrong.Field[strings.LastIndexByte(wrong.Field, '.')+1:]
		return fieldProblem(codeInvalidField, name, fmt.Sprintf("is a JSON %s, want %s", wrong.Value, jsonName(wrong.Type.Kind().String())))
	case errors.As(err, &base):
		return fieldProblem(codeInvalidField, "binary", "is not base64")
	case strings.HasPrefix(err.Error(), unknownPrefix):
		name := strings.Trim(strings.TrimPrefix(err.Error(), unknownPrefix), `"`)
		return fieldProblem(codeUnknownField, name, "is not a field of this request")
	}
	return problem(http.StatusBadRequest, codeInvalidJSON, "the body is not valid JSON")
}

// jsonName translates a Go kind into JSON's words.
func jsonName(kind string) string {
	switch {
	case kind == "string":
		return "a string"
	case kind == "bool":
		return "true or false"
	case kind == "slice":
		return "a list"
	case strings.HasPrefix(kind, "int"):
		return "a whole number"
	}
	return "an object"
}
