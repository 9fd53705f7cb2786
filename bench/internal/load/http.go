package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
)

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

// Open connects. An answer that is not 200 is an error.
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
}

func (s *httpSender) Send(_ context.Context, i int64, at time.Time) error {
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
	return answer(s.in)
}

func (s *httpSender) Close() { s.c.Close() }

// answer reads one answer to its end.
func answer(r *bufio.Reader) error {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	text := ""
	if !ok {
		text = string(bytes.TrimSpace(status))
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
		if bytes.Equal(line, crlf) {
			break
		}
		if value, is := bytes.CutPrefix(line, lengthHeader); is {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return fmt.Errorf("read an answer: %w", err)
			}
		}
	}
	if length < 0 {
		return errors.New("an answer has no Content-Length")
	}
	if !ok {
		body, _ := io.ReadAll(io.LimitReader(r, int64(length))) // for the message
		return fmt.Errorf("answered %s: %s", text, body)
	}
	_, err = r.Discard(length)
	return err
}
