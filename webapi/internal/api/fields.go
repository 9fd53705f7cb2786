package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
)

// name is a field that may be absent but not empty: an empty string is a mistake of the caller's program, and
// taking it for "absent" would, for example, turn a user's message into one of the system.
type name = *string

// given returns a name's value, "" when it is absent.
func given(field string, n name) (string, error) {
	if n == nil {
		return "", nil
	}
	if *n == "" {
		return "", &imhelper.FieldError{Field: field, Problem: "is empty; leave it out instead"}
	}
	return *n, nil
}

// names fills several at once, in pairs of where to and what from.
type names []struct {
	field string
	from  name
	to    *string
}

func (ns names) fill() (err error) {
	for _, n := range ns {
		if *n.to, err = given(n.field, n.from); err != nil {
			return err
		}
	}
	return nil
}

// maxSeconds keeps a number of seconds within what a time.Duration holds; imhelper's own limits are far below.
const maxSeconds = 1 << 31

func seconds(field string, n int64) (time.Duration, error) {
	if n < 0 || n > maxSeconds {
		return 0, &imhelper.FieldError{Field: field, Problem: fmt.Sprintf("is %d, want a number of seconds", n)}
	}
	return time.Duration(n) * time.Second, nil
}

// receivers is one clientId or a list of them.
type receivers []string

// UnmarshalJSON takes "a" and ["a","b"].
func (r *receivers) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	wrong := &imhelper.FieldError{Field: "to", Problem: "is neither a clientId nor a list of clientIds"}
	switch {
	case len(b) > 0 && b[0] == '"':
		*r = make(receivers, 1)
		if bytes.IndexByte(b, '\\') < 0 { // as it is: encoding/json has checked the syntax already
			(*r)[0] = string(b[1 : len(b)-1])
			return nil
		}
		if json.Unmarshal(b, &(*r)[0]) != nil {
			return wrong
		}
	case len(b) > 0 && b[0] == '[':
		if json.Unmarshal(b, (*[]string)(r)) != nil {
			return wrong
		}
	default:
		return wrong
	}
	return nil
}

// position reads a parameter; "" is the zero position.
func position(field, text string) (protocol.Position, error) {
	if text == "" {
		return protocol.Position{}, nil
	}
	p, err := protocol.ParsePosition(text)
	if err != nil {
		return p, &imhelper.FieldError{Field: field, Problem: fmt.Sprintf("is %.60q; %v", text, err)}
	}
	return p, nil
}

// posText is a position in an answer; the zero one is left out.
func posText(p protocol.Position) string {
	if p.IsZero() {
		return ""
	}
	return p.String()
}

// millis is a time in an answer, Unix milliseconds; the zero one is left out.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// paging is embedded in the inputs of lists.
type paging struct {
	Cursor string `query:"cursor" json:"-" description:"next of the page before; absent for the first page."`
	Limit  int    `query:"limit" json:"-" minimum:"1" maximum:"1000" default:"100" description:"Entries per page."`
}
