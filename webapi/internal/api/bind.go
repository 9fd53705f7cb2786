package api

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"

	"github.com/go-chi/chi/v5"
)

// binder fills the fields of an input struct that carry a path or query tag. It looks at the type once, when the
// route is made.
type binder struct {
	path, query []param
	known       map[string]bool // query parameters
	body        bool            // the struct has json fields
}

// param is one field: a string or an int.
type param struct {
	name  string
	index []int
	kind  reflect.Kind
}

func newBinder(in any) *binder {
	b := &binder{known: make(map[string]bool)}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(in).Elem()) {
		p := param{index: f.Index, kind: f.Type.Kind()}
		if name := f.Tag.Get("path"); name != "" {
			p.name = name
			b.path = append(b.path, p)
		} else if name := f.Tag.Get("query"); name != "" {
			p.name = name
			b.query = append(b.query, p)
			b.known[name] = true
		} else if name := f.Tag.Get("json"); name != "" && name != "-" {
			b.body = true
			continue
		} else {
			continue
		}
		if p.kind != reflect.String && p.kind != reflect.Int {
			panic(fmt.Sprintf("api: parameter %s is a %s, want a string or an int", p.name, p.kind)) // at start
		}
	}
	return b
}

// fill sets the parameters of in, a pointer to the struct.
func (b *binder) fill(r *http.Request, in any) error {
	if r.URL.RawQuery != "" {
		if err := b.fillQuery(r.URL.RawQuery, in); err != nil {
			return err
		}
	}
	if len(b.path) == 0 {
		return nil
	}
	for _, p := range b.path {
		text := chi.URLParam(r, p.name)
		if r.URL.RawPath != "" { // then chi matched, and returns, the escaped form
			plain, err := url.PathUnescape(text)
			if err != nil {
				return fieldProblem(codeInvalidField, p.name, "is not escaped correctly")
			}
			text = plain
		}
		if err := p.set(in, text); err != nil {
			return err
		}
	}
	return nil
}

func (b *binder) fillQuery(raw string, in any) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return problem(http.StatusBadRequest, codeInvalidField, "the query is not escaped correctly")
	}
	for name := range values {
		if !b.known[name] {
			return fieldProblem(codeUnknownField, name, "is not a parameter of this route")
		}
	}
	for _, p := range b.query {
		v := values[p.name]
		switch {
		case len(v) > 1:
			return fieldProblem(codeInvalidField, p.name, "is given more than once")
		case len(v) == 1:
			if err := p.set(in, v[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p param) set(in any, text string) error {
	field := reflect.ValueOf(in).Elem().FieldByIndex(p.index)
	if p.kind == reflect.String {
		field.SetString(text)
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 { // all that exist are counts
		return fieldProblem(codeInvalidField, p.name, "is not a number from 1 up")
	}
	field.SetInt(int64(n))
	return nil
}
