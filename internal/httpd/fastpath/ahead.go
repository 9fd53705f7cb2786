package fastpath

import (
	"bytes"
	"net"
)

// ahead is a connection of which something has been read already.
type ahead struct {
	net.Conn
	read []byte
}

// newAhead keeps a copy of what was read: its buffer will be another connection's.
func newAhead(c net.Conn, read []byte) *ahead { return &ahead{c, bytes.Clone(read)} }

// Read implements net.Conn.
func (a *ahead) Read(p []byte) (int, error) {
	if len(a.read) == 0 {
		a.read = nil
		return a.Conn.Read(p)
	}
	n := copy(p, a.read)
	a.read = a.read[n:]
	return n, nil
}
