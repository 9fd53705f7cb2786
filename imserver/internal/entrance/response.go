package entrance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	// answerTimeout is what a client has to take its answer.
	answerTimeout = 5 * time.Second
	// After the answer a client may still be sending. Closing with unread bytes would reset the connection, and the
	// client might never see the answer: so this much is read, for this long.
	lingerBytes = 4 << 20
	lingerTime  = 500 * time.Millisecond
)

// response is the handler's http.ResponseWriter. What it writes is kept and sent when it has returned: answers here are
// small.
type response struct {
	conn     net.Conn
	in       *input
	take     func() bool // reports whether the connection may be taken over
	head     bool        // the request was HEAD: no body
	header   http.Header
	status   int
	body     bytes.Buffer
	hijacked bool
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header, 4)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter; the first status counts.
func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.hijacked {
		return 0, http.ErrHijacked
	}
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Hijack implements http.Hijacker. The reader holds what was read ahead and no more; it is the caller's until the handler
// returns. There is no writer.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if !w.take() {
		return nil, nil, net.ErrClosed
	}
	w.hijacked = true
	_ = w.conn.SetReadDeadline(time.Time{}) // fails only when closed; its new owner finds out
	return w.conn, bufio.NewReadWriter(w.in.br, nil), nil
}

// finish sends the answer and closes the connection.
func (w *response) finish() {
	defer w.conn.Close()
	w.WriteHeader(http.StatusOK)
	h := w.Header()
	h.Set("Content-Length", strconv.Itoa(w.body.Len()))
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if h.Get("Connection") == "" {
		h.Set("Connection", "close")
	} else {
		h.Set("Connection", h.Get("Connection")+", close")
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	_ = h.Write(&out) // a buffer takes everything
	out.WriteString("\r\n")
	if !w.head {
		out.Write(w.body.Bytes())
	}
	_ = w.conn.SetDeadline(time.Now().Add(answerTimeout)) // fails only when closed; so does writing
	if _, err := w.conn.Write(out.Bytes()); err != nil {
		return
	}
	if c, ok := w.conn.(interface{ CloseWrite() error }); !ok || c.CloseWrite() != nil {
		return
	}
	_ = w.conn.SetDeadline(time.Now().Add(lingerTime)) // as above
	_, _ = io.CopyN(io.Discard, w.conn, lingerBytes)   // whatever ends it
}
