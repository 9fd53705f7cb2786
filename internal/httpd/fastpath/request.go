package fastpath

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxRequest is the largest request, header and body, that is answered here, in bytes: a message of 7 KiB.
const maxRequest = 8 << 10

const (
	method    = "POST "
	version   = " HTTP/1.1"
	endOfLine = "\r\n"
)

// parse takes the request apart that b begins with; size is how many bytes it has. It is nil when it is not there to
// its end, or not plain. The body is a part of b.
func parse(b []byte) (r *http.Request, size int) {
	if !bytes.HasPrefix(b, []byte(method)) {
		return nil, 0
	}
	end := bytes.Index(b, []byte(endOfLine+endOfLine))
	if end < 0 {
		return nil, 0
	}
	head := string(b[:end+len(endOfLine)]) // what the request's strings are parts of
	line, lines, _ := strings.Cut(head, endOfLine)
	target, ok := strings.CutSuffix(line[len(method):], version)
	if !ok || !strings.HasPrefix(target, "/") || !plain(target, &visible) {
		return nil, 0
	}
	at, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, 0
	}
	f, ok := readFields(lines)
	start := end + len(endOfLine+endOfLine)
	if !ok || f.host == "" || f.length < 0 || f.length > len(b)-start {
		return nil, 0
	}
	r = &http.Request{
		Method: http.MethodPost, URL: at, RequestURI: target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: f.header, Host: f.host, ContentLength: int64(f.length), Body: http.NoBody,
	}
	size = start + f.length
	if f.length > 0 {
		r.Body = &body{b[start:size]}
	}
	return r, size
}

// body is a body that is there already. It is the handler's until that returns.
type body struct{ rest []byte }

// Read implements io.Reader.
func (b *body) Read(p []byte) (n int, err error) {
	n = copy(p, b.rest)
	if b.rest = b.rest[n:]; len(b.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (b *body) Close() error { b.rest = nil; return nil }
