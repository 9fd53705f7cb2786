package socket

import (
	"syscall"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// park waits until the descriptor is readable, without a buffer and on a shallow stack: between two messages a
// connection costs the 2 KiB that a new goroutine has. Reading needs a deeper stack, which Go would not shrink
// soon; so each reader that has nothing left starts a fresh parker and returns, and the other way round.
//
// Go's poller calls ready, and calls it again each time the descriptor becomes readable, until it returns true.
// The poller is edge-triggered and forgets earlier edges when the wait begins: ready must look whether something
// is there already, or bytes that came before the wait would sleep until the next ones. Looking consumes nothing.
func (s *Socket) park() {
	if err := s.out.raw.Read(ready); err != nil {
		s.finish(protocol.ReasonPeerGone)
		return
	}
	go s.read()
}

// ready reports whether reading would not block: data, the end of the stream, or an error.
func ready(fd uintptr) bool {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		}
		return true
	}
}

// wait hands the connection to a parker, when it has a descriptor to park on and nothing is left to read. It
// reports whether it did: then the caller must return.
func (s *Socket) wait() bool {
	if s.out.raw == nil || s.br.Buffered() > 0 || len(s.out.front) > 0 {
		return false
	}
	_ = s.out.SetReadDeadline(time.Time{}) // fails only when closed; then parking ends at once
	go s.park()
	return true
}
