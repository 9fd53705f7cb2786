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
	"sync"
	"sync/atomic"
	"time"
)

const (
	bufferSize = 8 << 10 // of one connection, each way
	// grace is how long the last answers may take after the time is over.
	grace = 5 * time.Second
)

var (
	lengthHeader = []byte("Content-Length: ")
	crlf         = []byte("\r\n")
)

// Plan says what to send.
type Plan struct {
	Addr     string   // host:port
	Requests [][]byte // whole requests, sent in turn
	Conns    int
	Duration time.Duration
}

// Request builds an HTTP/1.1 request with a JSON body.
func Request(host, path, key string, body []byte) []byte {
	b := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, host, key, len(body))
	return append(b, body...)
}

// Result is how it went.
type Result struct {
	Answered int64 // requests with the status 200
	Elapsed  time.Duration
}

// Rate is answers a second.
func (r Result) Rate() float64 { return float64(r.Answered) / r.Elapsed.Seconds() }

// Run sends until the time is over or ctx ends. An answer that is not 200 is an error.
func Run(ctx context.Context, p Plan) (Result, error) {
	var (
		wg       sync.WaitGroup
		next     atomic.Int64
		answered atomic.Int64
		once     sync.Once
		first    error
	)
	ctx, cancel := context.WithTimeout(ctx, p.Duration)
	defer cancel()
	begin := time.Now()
	for range p.Conns {
		wg.Go(func() {
			err := connection(ctx, p, func() []byte {
				return p.Requests[int(next.Add(1)-1)%len(p.Requests)]
			}, &answered)
			if err != nil {
				once.Do(func() { first = err; cancel() })
			}
		})
	}
	wg.Wait()
	return Result{Answered: answered.Load(), Elapsed: time.Since(begin)}, first
}

// connection sends one request after the other.
func connection(ctx context.Context, p Plan, next func() []byte, answered *atomic.Int64) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", p.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(p.Duration + grace)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(c, bufferSize)
	for ctx.Err() == nil {
		if _, err := c.Write(next()); err != nil {
			return fmt.Errorf("send a request: %w", err)
		}
		if err := answer(r); err != nil {
			return err
		}
		answered.Add(1)
	}
	return nil
}

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
