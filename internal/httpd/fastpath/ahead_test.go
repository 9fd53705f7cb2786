package fastpath

import (
	"errors"
	"io"
	"net"
	"testing"
)

// What was read ahead comes first, in pieces if need be, whatever becomes of the buffer that it was read into.
func TestAhead(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		_, _ = theirs.Write([]byte("then this")) // the test reads it
		theirs.Close()
	}()
	buffer := []byte("first this, ")
	a := newAhead(ours, buffer)
	copy(buffer, "of another  ")
	var got []byte
	for piece := make([]byte, 5); ; {
		n, err := a.Read(piece)
		got = append(got, piece[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != "first this, then this" {
		t.Errorf("read %q", got)
	}
}
