package fastpath

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// keptBuffer is the largest buffer that is kept for later answers, in bytes.
const keptBuffer = 64 << 10

// answers are used again: nothing of one is left with the handler when it is put back.
var answers = sync.Pool{New: func() any { return &answer{header: make(http.Header)} }}

// answer is the handler's http.ResponseWriter. It keeps what is written until the handler has returned.
type answer struct {
	header http.Header
	status int // 0: not yet known
	body   bytes.Buffer
	out    bytes.Buffer
}

// release gives an answer back. The header is the handler's no longer.
func (a *answer) release() {
	if a.body.Cap() > keptBuffer || a.out.Cap() > keptBuffer {
		return
	}
	clear(a.header)
	a.status = 0
	a.body.Reset()
	a.out.Reset()
	answers.Put(a)
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. The first status counts; informational ones are not sent. Like net/http's it
// panics at what no status can be.
func (a *answer) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("fastpath: invalid status %d", status))
	}
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if !a.hasBody() {
		return 0, http.ErrBodyNotAllowed
	}
	return a.body.Write(p)
}

// hasBody is false for the statuses whose answers end with the header (RFC 9110, section 6.4.1).
func (a *answer) hasBody() bool {
	return a.status != http.StatusNoContent && a.status != http.StatusNotModified
}

// ours are the fields that this package writes, not the handler.
var ours = map[string]bool{"Content-Length": true, "Connection": true}

// close reports whether the handler wants the connection closed.
func (a *answer) close() bool { return strings.EqualFold(a.header.Get("Connection"), "close") }

// bytes are the whole answer as it is sent at a time. last announces that the connection will be closed.
func (a *answer) bytes(now time.Time, last bool) []byte {
	a.WriteHeader(http.StatusOK)
	h, w := a.header, &a.out
	if _, typed := h["Content-Type"]; !typed && a.body.Len() > 0 && h.Get("Content-Encoding") == "" {
		h.Set("Content-Type", http.DetectContentType(a.body.Bytes())) // as net/http does
	}
	w.WriteString("HTTP/1.1 ")
	w.Write(strconv.AppendInt(w.AvailableBuffer(), int64(a.status), 10))
	w.WriteByte(' ')
	w.WriteString(cmp.Or(http.StatusText(a.status), "unnamed"))
	if _, dated := h["Date"]; !dated {
		w.WriteString("\r\nDate: ")
		w.Write(now.UTC().AppendFormat(w.AvailableBuffer(), http.TimeFormat))
	}
	if a.hasBody() {
		w.WriteString("\r\nContent-Length: ")
		w.Write(strconv.AppendInt(w.AvailableBuffer(), int64(a.body.Len()), 10))
	}
	if last {
		w.WriteString("\r\nConnection: close")
	}
	w.WriteString(endOfLine)
	_ = h.WriteSubset(w, ours) // a buffer takes everything
	w.WriteString(endOfLine)
	w.Write(a.body.Bytes())
	return w.Bytes()
}
