package entrance

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
)

const (
	// maxHeader bounds the request line and header in bytes: an 8 KiB token in the query and ordinary cookies fit.
	maxHeader = 32 << 10
	// inputSize is the buffer's size in bytes.
	inputSize = 4 << 10
)

// input reads one request of a connection.
type input struct {
	conn net.Conn
	br   *bufio.Reader
	left int   // bytes that the header may still have
	err  error // of the connection: parsing may hide it behind its own
}

// inputs are used again: what a handler wants to keep of the buffer it copies.
var inputs = sync.Pool{New: func() any { return &input{br: bufio.NewReaderSize(nil, inputSize)} }}

func takeInput(c net.Conn) *input {
	in := inputs.Get().(*input)
	in.conn, in.left, in.err = c, maxHeader, nil
	in.br.Reset(in)
	return in
}

func (in *input) release() {
	in.conn = nil
	inputs.Put(in)
}

// Read implements io.Reader for br.
func (in *input) Read(p []byte) (int, error) {
	if in.left <= 0 {
		return 0, io.EOF
	}
	n, err := in.conn.Read(p[:min(len(p), in.left)])
	in.left -= n
	in.err = err
	return n, err
}

// request returns the request, or the status with which what came is refused; 0 when there is nobody to answer.
func (in *input) request() (*http.Request, int) {
	r, err := http.ReadRequest(in.br)
	switch {
	case errors.Is(in.err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout
	case in.err != nil:
		return nil, 0
	case err != nil && in.left <= 0:
		return nil, http.StatusRequestHeaderFieldsTooLarge
	case err != nil, r.Host == "" && r.ProtoAtLeast(1, 1):
		return nil, http.StatusBadRequest
	case r.ProtoMajor != 1:
		return nil, http.StatusHTTPVersionNotSupported
	case r.ContentLength != 0: // what follows the header would be taken for the body, or the body for frames
		return nil, http.StatusRequestEntityTooLarge
	}
	return r, http.StatusOK
}
