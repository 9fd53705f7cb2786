package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"
)

const (
	bufferSize = 8 << 10 // of one connection, each way
	// answerLimit is how long an answer may take.
	answerLimit = 30 * time.Second
)

var (
	lengthHeader = []byte("Content-Length: ")
	crlf         = []byte("\r\n")
	// problemMark is what only a problem has: in a batch, which answers 200, one stands in place of a result.
	problemMark = []byte(`"status":`)
)

// problemShown is how many bytes of an answer from its first problem on are told.
const problemShown = 200

// Request builds an HTTP/1.1 request with a JSON body.
func Request(host, path, key string, body []byte) []byte {
	b := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, host, key, len(body))
	return append(b, body...)
}

// HTTP sends whole requests, in turn.
type HTTP struct {
	Addr     string // host:port
	Requests [][]byte
	// Stamp, unless nil, writes a time into a copy of each request: when it was to begin.
	Stamp func(request []byte, at time.Time)
}

// Open connects. An answer that is not 200, or that holds a problem, is an error.
func (h HTTP) Open(ctx context.Context) (Sender, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", h.Addr)
	if err != nil {
		return nil, err
	}
	return &httpSender{h: h, c: c, in: bufio.NewReaderSize(c, bufferSize)}, nil
}

// httpSender is one connection.
type httpSender struct {
	h   HTTP
	c   net.Conn
	in  *bufio.Reader
	buf []byte // the request, when it is stamped

	body []byte // of the last answer
}

func (s *httpSender) Send(_ context.Context, i int64, at time.Time) (err error) {
	request := s.h.Requests[int(i%int64(len(s.h.Requests)))]
	if s.h.Stamp != nil {
		s.buf = append(s.buf[:0], request...)
		request = s.buf
		s.h.Stamp(request, at)
	}
	if err := s.c.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return err
	}
	if _, err := s.c.Write(request); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	s.body, err = answer(s.in, s.body)
	return err
}

func (s *httpSender) Close() { s.c.Close() }

// answer reads one answer to its end, with its body into the room that buf has, and returns the body.
func answer(r *bufio.Reader, buf []byte) ([]byte, error) {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return buf, fmt.Errorf("read an answer: %w", err)
	}
	text := ""
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		text = string(bytes.TrimSpace(status))
	}
	length, err := bodyLength(r)
	if err != nil {
		return buf, fmt.Errorf("read an answer: %w", err)
	}
	buf = slices.Grow(buf[:0], length)[:length]
	if _, err := io.ReadFull(r, buf); err != nil {
		return buf, fmt.Errorf("read an answer: %w", err)
	}
	if text != "" {
		return buf, fmt.Errorf("answered %s: %s", text, buf)
	}
	return buf, problems(buf)
}

// bodyLength reads headers to their end.
func bodyLength(r *bufio.Reader) (int, error) {
	for length := -1; ; {
		line, err := r.ReadSlice('\n')
		switch value, is := bytes.CutPrefix(line, lengthHeader); {
		case err != nil:
			return 0, err
		case is:
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		case bytes.Equal(line, crlf) && length < 0:
			return 0, errors.New("it has no Content-Length")
		case bytes.Equal(line, crlf):
			return length, nil
		}
	}
}

// problems is an error when some of the sends of an answer were refused.
func problems(body []byte) error {
	n := bytes.Count(body, problemMark)
	if n == 0 {
		return nil
	}
	shown := body[bytes.Index(body, problemMark):]
	return fmt.Errorf("answered 200 with %d problems: %s", n, shown[:min(len(shown), problemShown)])
}
