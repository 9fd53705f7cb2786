package socket

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/imserver/internal/tcp"
)

// parking is where a socket is between two messages: nowhere. Reading needs a goroutine and a stack of 8 KiB, so each
// reader that has nothing left to read returns, and when bytes have come a fresh one is started. Whoever takes the socket
// out of parked does that, or reads itself; so there is never a second one.
type parking struct {
	parker *tcp.Parker // nil: the reader stays, and waits in its read
	parked atomic.Bool
}

// wait hands the connection to the Parker, when it has one and nothing is left that came with the handshake. It reports whether
// it did: then the caller must return. The caller has no reader.
func (s *Socket) wait() bool {
	if s.park.parker == nil || s.out.front != nil {
		return false
	}
	s.park.parked.Store(true)
	if s.out.with(func(fd int) error { return s.park.parker.Park(fd, s) }) == nil {
		return true
	}
	if !s.park.parked.CompareAndSwap(true, false) {
		return true // whoever closed the connection has started a reader
	}
	s.park.parker.Forget(int(s.out.fd), s)
	s.park.parker = nil                    // the kernel has no room for another one to watch, or the connection is closed: reading tells
	_ = s.out.SetReadDeadline(time.Time{}) // of an earlier read; fails only when closed
	return false
}

// Waits implements tcp.Waiter.
func (s *Socket) Waits() bool { return s.park.parked.Load() }

// Ready implements tcp.Waiter. An answer to a ping, which is most of what comes from silent peers, is dealt with here; anything
// else by a reader.
func (s *Socket) Ready() {
	if s.park.parked.CompareAndSwap(true, false) && !s.glance() {
		go s.read()
	}
}

// rouse starts a reader unless there is one. It is called when the connection was closed from this side: the kernel
// reports no descriptor that does not exist any more.
func (s *Socket) rouse() {
	if s.park.parked.CompareAndSwap(true, false) {
		go s.read()
	}
}

// glance reads what has come. It reports whether the socket waits again: that was one ping or pong, and nothing else. If it does
// not, the caller must start a reader, which finds in front what was read.
func (s *Socket) glance() bool {
	var b [glanceSize]byte
	n, err := s.out.receive(b[:])
	switch {
	case err != nil: // which the reader finds, too
		return false
	case n >= 2 && isPlainControl(b[:2]) && n == controlSize(b[:2]):
		s.control(unmask(b[:n]))
	case n > 0:
		s.out.front = bytes.NewReader(bytes.Clone(b[:n]))
	}
	return s.wait()
}

// glanceSize is what glance reads. It holds any ping or pong.
const glanceSize = 256
