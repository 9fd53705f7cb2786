package store

import (
	"errors"
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

func TestBytesThatCameInTimeAreNoSilence(t *testing.T) {
	for late, silent := range []bool{false, false, true} {
		n, err := silenceGuard{&lateConn{late: late}}.Read(make([]byte, 16))
		if errors.Is(err, os.ErrDeadlineExceeded) != silent || (n == 0) != silent {
			t.Errorf("late %d times: read %d bytes, %v", late, n, err)
		}
	}
}
