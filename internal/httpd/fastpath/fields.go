package fastpath

import (
	"net/http"
	"net/textproto"
	"strings"
)

const (
	// maxFields is how many header fields a plain request has at most.
	maxFields = 32
	// maxDigits of a length are enough for maxRequest, and never too large for an int.
	maxDigits = 6
)

// fields are a request's header: what it says about the request itself, and everything but Host.
type fields struct {
	host     string
	from, to int // where in the lines the digits of Content-Length are; 0, 0: it is not given
	header   http.Header
}

// readFields reads the lines of a header, each of which ends with CR LF. It is false when one of them is not plain.
func readFields(lines string) (f fields, ok bool) {
	all := len(lines)
	n := strings.Count(lines, endOfLine)
	if n > maxFields {
		return f, false
	}
	f.header = make(http.Header, n)
	values := make([]string, 0, n) // one piece of memory for all
	for lines != "" {
		var line string
		line, lines, _ = strings.Cut(lines, endOfLine)
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimLeft(value, " ")
		from := all - len(lines) - len(endOfLine) - len(value)
		value = strings.TrimRight(value, " ")
		if !ok || name == "" || !plain(name, &nameChars) || !plain(value, &printable) {
			return f, false
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if !f.means(name, value) {
			return f, false
		}
		if name == "Content-Length" {
			f.from, f.to = from, from+len(value)
		}
		if name == "Host" {
			continue
		}
		if more := f.header[name]; more != nil {
			f.header[name] = append(more, value)
			continue
		}
		values = append(values, value)
		f.header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return f, true
}

// means notes what a field says about the request itself. It is false when that is more than a plain request says, or
// when net/http changes the header for it.
func (f *fields) means(name, value string) bool {
	switch name {
	case "Host":
		if f.host != "" || value == "" || !plain(value, &hostChars) {
			return false
		}
		f.host = value
	case "Content-Length":
		return f.to == 0 && value != "" && len(value) <= maxDigits && plain(value, &digits)
	case "Connection":
		return strings.EqualFold(value, "keep-alive")
	case "Transfer-Encoding", "Trailer", "Te", "Upgrade", "Expect", "Pragma":
		return false
	}
	return true
}

// charset is a set of bytes.
type charset [256]bool

// Sets of characters, smaller than what HTTP allows where that leaves room for opinions.
var (
	digits    = charsetOf("0123456789")
	nameChars = charsetOf("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
	hostChars = charsetOf("-.:[]_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
	visible   = charsetFrom('!')
	printable = charsetFrom(' ')
)

func charsetOf(chars string) (set charset) {
	for i := range len(chars) {
		set[chars[i]] = true
	}
	return set
}

// charsetFrom is ASCII from a character to the last that shows.
func charsetFrom(first byte) (set charset) {
	for c := first; c <= '~'; c++ {
		set[c] = true
	}
	return set
}

// plain reports whether s has characters of a set only.
func plain(s string, of *charset) bool {
	for i := range len(s) {
		if !of[s[i]] {
			return false
		}
	}
	return true
}
