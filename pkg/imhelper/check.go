package imhelper

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/imtier/imtier/pkg/jsonscan"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// Limits that are not the wire's but this library's.
const (
	defaultPage = 100  // entries of a page when the caller does not say
	maxPage     = 1000 // entries of a page; bounds the memory and the time of one call
)

// badName turns an error of protocol's Check functions into one about a field.
func badName(field string, err error) error {
	if err == nil {
		return nil
	}
	return &FieldError{Field: field, Problem: strings.TrimPrefix(err.Error(), protocol.ErrBadName.Error()+": ")}
}

// CheckClientIDs checks names that a later call will be given, so that a request of several steps can refuse a bad one
// before the first step: at most limit names, each a good clientId. The error is a FieldError about field.
func CheckClientIDs(field string, ids []string, limit int) error {
	return checkEach(field, ids, limit, protocol.CheckClientID)
}

func checkClientID(field, id string) error { return badName(field, protocol.CheckClientID(id)) }
func checkGroup(field, g string) error     { return badName(field, protocol.CheckGroup(g)) }

// checkOptional checks a name that may be absent.
func checkOptional(field, name string, check func(string) error) error {
	if name == "" {
		return nil
	}
	return badName(field, check(name))
}

// checkList checks that there are 1 to limit names and that each is good. A bad one of several is named by its index.
func checkList(field string, names []string, limit int, check func(string) error) error {
	if len(names) == 0 {
		return &FieldError{Field: field, Problem: "is empty"}
	}
	return checkEach(field, names, limit, check)
}

func checkEach(field string, names []string, limit int, check func(string) error) error {
	if len(names) > limit {
		return &FieldError{Field: field, Problem: fmt.Sprintf("has %d entries, at most %d are allowed", len(names), limit)}
	}
	for i, name := range names {
		if err := check(name); err != nil {
			at := field
			if len(names) > 1 {
				at = fmt.Sprintf("%s[%d]", field, i)
			}
			return badName(at, err)
		}
	}
	return nil
}

// checkBody checks a message's content: exactly one of JSON data and binary, within the size limit.
func (h *Helper) checkBody(data json.RawMessage, binary []byte) error {
	field, size := "data", len(data)
	switch {
	case data == nil && binary == nil:
		return &FieldError{Field: "data", Problem: "is missing: give data (any JSON) or binary"}
	case data != nil && binary != nil:
		return &FieldError{Field: "binary", Problem: "cannot be given together with data"}
	case binary != nil:
		field, size = "binary", len(binary)
	}
	if size > h.maxMessage {
		return tooBig(field, size, h.maxMessage)
	}
	if binary != nil {
		return nil
	}
	return checkJSON("data", data)
}

// checkJSON demands what a text frame demands: JSON, and UTF-8 (which encoding/json does not insist on).
func checkJSON(field string, data []byte) error {
	if !jsonscan.Valid(data) {
		return &FieldError{Field: field, Problem: "is not valid JSON"}
	}
	if !utf8.Valid(data) {
		return &FieldError{Field: field, Problem: "is not valid UTF-8"}
	}
	return nil
}

func tooBig(field string, size, limit int) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf("has %d bytes, at most %d are allowed", size, limit), TooBig: true}
}

// page applies the default to a page size and checks it.
func page(limit int) (int, error) {
	switch {
	case limit == 0:
		return defaultPage, nil
	case limit < 0 || limit > maxPage:
		return 0, &FieldError{Field: "limit", Problem: fmt.Sprintf("is %d, want 1 to %d", limit, maxPage)}
	}
	return limit, nil
}

// cursorError turns the store's complaint about a cursor into one about a field.
func cursorError(action string, err error) error {
	if errors.Is(err, store.ErrBadCursor) {
		return &FieldError{Field: "cursor", Problem: "is not one that an earlier page returned"}
	}
	return doing(action, err)
}

// checkAll returns the first error. It reads as a list of what is demanded.
func checkAll(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// unique drops repeated names and keeps the order. It returns the given slice when nothing is repeated.
func unique(names []string) []string {
	if len(names) < 2 {
		return names
	}
	seen := make(map[string]struct{}, len(names))
	for _, n := range names {
		seen[n] = struct{}{}
	}
	if len(seen) == len(names) {
		return names
	}
	out := make([]string, 0, len(seen))
	for _, n := range names {
		if _, ok := seen[n]; ok {
			out = append(out, n)
			delete(seen, n)
		}
	}
	return out
}
