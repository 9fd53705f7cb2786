package api

import (
	"bytes"
	"encoding/json"

	"github.com/imtier/imtier/pkg/jsonscan"
)

// Why sends are not decoded by encoding/json alone. It goes over a body four times, and its reflection takes more of
// webapi's time than anything else of ours. Nearly all sends are objects of a few fields that programs wrote; those are
// taken apart here, in one go. What is unusual (an escaped name, a list of receivers, an unknown or repeated field, a
// mistake) is no matter of this file: it says so, and encoding/json decides from the beginning. So this file never
// refuses anything, and takes only what encoding/json takes, with the same result: a fuzz test compares them.

// usual is an input that has a usual form.
type usual interface {
	// readUsual decodes a body and reports true, or leaves the input empty. b is UTF-8, and only lent.
	readUsual(b []byte) bool
}

// usualReader goes over JSON. Each method passes what it is asked for, and reports false when something else comes.
type usualReader struct {
	b []byte
	i int
}

func (u *usualReader) space() {
	for u.i < len(u.b) && (u.b[u.i] == ' ' || u.b[u.i] == '\n' || u.b[u.i] == '\t' || u.b[u.i] == '\r') {
		u.i++
	}
}

// take passes one character.
func (u *usualReader) take(c byte) bool {
	u.space()
	if u.i == len(u.b) || u.b[u.i] != c {
		return false
	}
	u.i++
	return true
}

// end reports whether nothing follows.
func (u *usualReader) end() bool {
	u.space()
	return u.i == len(u.b)
}

// text passes a string in which nothing is escaped and returns what is between its quotes.
func (u *usualReader) text() (text []byte, ok bool) {
	if !u.take('"') {
		return nil, false
	}
	for from := u.i; u.i < len(u.b); u.i++ {
		switch c := u.b[u.i]; {
		case c == '"':
			u.i++
			return u.b[from : u.i-1], true
		case c == '\\' || c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// name passes a string for a field that may be absent but was not yet.
func (u *usualReader) name(to *name) bool {
	text, ok := u.text()
	if !ok || *to != nil {
		return false
	}
	s := string(text)
	*to = &s
	return true
}

// flag passes true or false.
func (u *usualReader) flag(to *bool) bool {
	u.space()
	switch rest := u.b[u.i:]; {
	case *to: // there was one already
		return false
	case bytes.HasPrefix(rest, []byte("true")):
		u.i, *to = u.i+len("true"), true
	case bytes.HasPrefix(rest, []byte("false")):
		u.i += len("false")
	default:
		return false
	}
	return true
}

// value passes one value of any type and returns a copy.
func (u *usualReader) value() (value json.RawMessage, ok bool) {
	u.space()
	n, ok := jsonscan.Value(u.b[u.i:])
	if !ok {
		return nil, false
	}
	u.i += n
	return bytes.Clone(u.b[u.i-n : u.i]), true
}

// direct passes a direct send. kind is that of a batch's item; nil: there is none.
func (u *usualReader) direct(in *directBody, kind *string) bool {
	if !u.take('{') {
		return false
	}
	for {
		field, ok := u.text()
		if !ok || !u.take(':') || !u.directField(string(field), in, kind) {
			return false
		}
		if u.take('}') {
			return true
		}
		if !u.take(',') {
			return false
		}
	}
}

func (u *usualReader) directField(field string, in *directBody, kind *string) (ok bool) {
	switch field {
	case "to":
		text, ok := u.text()
		if !ok || in.To != nil {
			return false
		}
		in.To = receivers{string(text)}
		return true
	case "from":
		return u.name(&in.From)
	case "id":
		return u.name(&in.ID)
	case "ephemeral":
		return u.flag(&in.Ephemeral)
	case "data":
		if in.Data != nil {
			return false
		}
		in.Data, ok = u.value()
		return ok
	case "kind":
		if text, ok := u.text(); ok && kind != nil && *kind == "" {
			*kind = string(text)
			return true
		}
	}
	return false
}

func (in *directBody) readUsual(b []byte) bool {
	u := usualReader{b: b}
	if u.direct(in, nil) && u.end() {
		return true
	}
	*in = directBody{}
	return false
}

func (in *batchIn) readUsual(b []byte) bool {
	u := usualReader{b: b}
	if u.sends(in) && u.take('}') && u.end() {
		return true
	}
	*in = batchIn{}
	return false
}

// sends passes a batch up to the end of its list.
func (u *usualReader) sends(in *batchIn) bool {
	if !u.take('{') {
		return false
	}
	if field, ok := u.text(); !ok || string(field) != "sends" || !u.take(':') || !u.take('[') {
		return false
	}
	for {
		item, ok := u.item()
		if !ok {
			return false
		}
		in.Sends = append(in.Sends, item)
		if u.take(']') {
			return true
		}
		if !u.take(',') {
			return false
		}
	}
}

// item passes one send of a batch, of any kind.
func (u *usualReader) item() (item batchItem, ok bool) {
	u.space()
	from, kind := u.i, ""
	in := new(directBody)
	if u.direct(in, &kind) && kind == kindDirect {
		return batchItem{direct: in}, true
	}
	u.i = from
	item.RawMessage, ok = u.value()
	return item, ok
}
