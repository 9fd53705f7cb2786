package entrance

import (
	"bufio"
	"errors"
	"io"
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

// errNothing is what a read gets when nothing has come and it must not wait.
var errNothing = errors.New("nothing has come")

// input reads one request of a connection.
type input struct {
	guest *guest
	br    *bufio.Reader
	left  int   // bytes that the header may still have
	err   error // of the connection: parsing may hide it behind its own
	look  bool  // reads do not wait
	timed bool  // the connection has a deadline
}

// inputs are used again: what a handler wants to keep of the buffer it copies.
var inputs = sync.Pool{New: func() any { return &input{br: bufio.NewReaderSize(nil, inputSize)} }}

func takeInput(g *guest) *input {
	in := inputs.Get().(*input)
	in.guest, in.left, in.err, in.look, in.timed = g, maxHeader, nil, false, false
	in.br.Reset(in)
	return in
}

func (in *input) release() {
	in.guest = nil
	inputs.Put(in)
}

// empty reports whether nothing has come; false also when that cannot be told without waiting.
func (in *input) empty() bool {
	in.look = true
	_, err := in.br.Peek(1)
	in.look = false
	return errors.Is(err, errNothing)
}

// Read implements io.Reader for br. A deadline costs more than reading what is there, so there is none until something is
// not.
func (in *input) Read(p []byte) (n int, err error) {
	if in.left <= 0 {
		return 0, io.EOF
	}
	p = p[:min(len(p), in.left)]
	if c, ok := in.guest.Conn.(interface{ TryRead([]byte) (int, error) }); ok { // of package tcp
		n, err = c.TryRead(p)
	}
	switch {
	case n > 0 || err != nil:
	case in.look:
		return 0, errNothing
	default:
		if !in.timed {
			_ = in.guest.SetReadDeadline(in.guest.due) // fails only when closed; so does reading
			in.timed = true
		}
		n, err = in.guest.Read(p)
	}
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
