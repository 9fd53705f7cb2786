// Package jsonscan finds where a JSON value ends, and whether it is one.
//
// Why not encoding/json: its scanner takes a function call for every byte, and each send is checked where it comes in and
// where it is published, which was a tenth of what webapi did for a send. A fuzz test compares the two.
package jsonscan

// maxDepth is how deeply arrays and objects may be nested, as in encoding/json.
const maxDepth = 10000

// Valid reports whether b is one JSON value, with or without white space around it; as json.Valid, it does not look whether
// strings are UTF-8.
func Valid(b []byte) bool {
	from := space(b, 0)
	n, ok := Value(b[from:])
	return ok && space(b, from+n) == len(b)
}

// Value returns the length in bytes of the value that b begins with; false when b does not begin with a value. A number ends
// where it cannot go on.
func Value(b []byte) (n int, ok bool) {
	n = value(b, 0, 0)
	return max(n, 0), n > 0
}

// bad is returned instead of an index where there is no value.
const bad = -1

// The functions below return the index behind what they pass, b[i] being its first byte, or bad.

func value(b []byte, i, depth int) int {
	if i >= len(b) {
		return bad
	}
	switch c := b[i]; {
	case c == '"':
		return text(b, i)
	case c == '{':
		return list(b, i, depth+1, '}', true)
	case c == '[':
		return list(b, i, depth+1, ']', false)
	case c == '-' || isDigit(c):
		return number(b, i)
	case c == 't':
		return word(b, i, "true")
	case c == 'f':
		return word(b, i, "false")
	case c == 'n':
		return word(b, i, "null")
	}
	return bad
}

// list passes an array, or an object, whose values have names.
func list(b []byte, i, depth int, end byte, named bool) int {
	if depth > maxDepth {
		return bad
	}
	if i = space(b, i+1); i < len(b) && b[i] == end {
		return i + 1
	}
	for {
		if named {
			if i >= len(b) || b[i] != '"' {
				return bad
			}
			if i = text(b, i); i == bad {
				return bad
			}
			if i = space(b, i); i >= len(b) || b[i] != ':' {
				return bad
			}
			i = space(b, i+1)
		}
		if i = value(b, i, depth); i == bad {
			return bad
		}
		switch i = space(b, i); {
		case i < len(b) && b[i] == end:
			return i + 1
		case i >= len(b) || b[i] != ',':
			return bad
		}
		i = space(b, i+1)
	}
}

func text(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return bad
		case c == '\\':
			if i = escape(b, i); i == bad {
				return bad
			}
		}
	}
	return bad
}

// escape returns the index of the last byte of an escape.
func escape(b []byte, i int) int {
	if i++; i >= len(b) {
		return bad
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
	default:
		return bad
	}
	for range 4 {
		if i++; i >= len(b) || !isHex(b[i]) {
			return bad
		}
	}
	return i
}

func number(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++ // nothing may follow it in the whole part
	} else if i = digits(b, i); i == bad {
		return bad
	}
	if i < len(b) && b[i] == '.' {
		if i = digits(b, i+1); i == bad {
			return bad
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return digits(b, i)
	}
	return i
}

// digits passes one or more.
func digits(b []byte, i int) int {
	from := i
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	if i == from {
		return bad
	}
	return i
}

func word(b []byte, i int, w string) int {
	if len(b)-i < len(w) || string(b[i:i+len(w)]) != w {
		return bad
	}
	return i + len(w)
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func isHex(c byte) bool { return isDigit(c) || c|0x20-'a' <= 5 }
