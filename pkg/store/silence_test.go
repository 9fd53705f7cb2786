package store

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// lateConn is a connection of a process that gets no processor: the first reads find their time over.
type lateConn struct {
	net.Conn
	late int
}

func (c *lateConn) SetReadDeadline(time.Time) error { return nil }

func (c *lateConn) Read(p []byte) (int, error) {
	if c.late--; c.late >= 0 {
		return 0, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	}
	return copy(p, "+PONG"), nil
}

// piecesConn brings something with each read, then the end.
type piecesConn struct {
	net.Conn
	pieces []string
}

func (c *piecesConn) SetReadDeadline(time.Time) error { return nil }

func (c *piecesConn) Read(p []byte) (int, error) {
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	c.pieces = c.pieces[1:]
	return n, nil
}

// Whoever puts work aside hears of each wait for Redis, also of one in the middle of a message and of the last.
func TestPausesPrecedeWaits(t *testing.T) {
	push := func(text string) string { return fmt.Sprintf("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n%s\r\n", text) }
	c := push("c")
	var story string
	r := newPubSubReader(&piecesConn{pieces: []string{push("a") + push("b") + c[:len(c)/2], c[len(c)/2:], push("d")}}, func() { story += "|" })
	for {
		e, err := r.next()
		if err != nil {
			break
		}
		story += string(e.payload)
	}
	if story != "|ab|c|d|" {
		t.Errorf("it went %s", story)
	}
}

func TestBytesThatCameInTimeAreNoSilence(t *testing.T) {
	for late, silent := range []bool{false, false, true} {
		n, err := silenceGuard{Conn: &lateConn{late: late}}.Read(make([]byte, 16))
		if errors.Is(err, os.ErrDeadlineExceeded) != silent || (n == 0) != silent {
			t.Errorf("late %d times: read %d bytes, %v", late, n, err)
		}
	}
}
