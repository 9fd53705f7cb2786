package fastpath

import (
	"io"
	"net/http"
	"net/url"
)

// maxRequest is the largest request, header and body, that is answered here, in bytes: a message of 7 KiB.
const maxRequest = 8 << 10

// exchange is a request and what it refers to, in one piece of memory.
type exchange struct {
	http.Request
	url  url.URL
	body body
}

// newRequest is the request that b is, whose body begins at start. It shares the fields of h with the requests before
// and after, and nothing else. The body is a part of b.
func newRequest(h *head, b []byte, start int) *http.Request {
	length := h.request.Header["Content-Length"]
	if said := b[h.from : start-len(h.text)+h.to]; string(said) != length[0] {
		h.request.Header["Content-Length"] = []string{string(said)}
	}
	x := &exchange{Request: *h.request, url: *h.request.URL, body: body{b[start:]}}
	r := &x.Request
	r.URL, r.ContentLength, r.Body = &x.url, int64(len(b)-start), http.NoBody
	if r.ContentLength > 0 {
		r.Body = &x.body
	}
	return r
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
