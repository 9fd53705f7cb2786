package socket

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/imserver/internal/clock"
	"github.com/imtier/imtier/pkg/protocol"
)

// Subprotocol is the one that a handshake may ask for.
const Subprotocol = protocol.Subprotocol

// Handler is told what happens to a socket. Calls of Message, Frame and Closed come one at a time.
type Handler interface {
	// Message is called with each data message; data is valid only during the call.
	Message(text bool, data []byte)
	// Frame is called for every frame or message that arrived, before Message, for counting.
	Frame(bytes int)
	// Room is called when a socket that refused a frame has sent everything it kept. It must not block.
	Room()
	// Closing is called when the socket has told the peer why it ends, because of what that sent; the peer may take as long as
	// it likes to answer, unless Kill is called. It must not block.
	Closing()
	// Closed is called once, last, when the descriptor is closed and no goroutine of the socket is left.
	Closed(protocol.Reason)
}

// Socket is one WebSocket connection. Send, End, Ping and Kill may be called from anywhere and never block.
type Socket struct {
	out outbox // first, for its first cache line

	// Fixed after Upgrade.
	h           Handler
	patience    time.Duration // frameTimeout, shorter in tests
	subprotocol bool

	maxMessage atomic.Int32 // bytes

	reason protocol.Reason // written in once, read by the reader after ended
	once   sync.Once
	ended  atomic.Bool
	since  atomic.Int64 // when it ended; see clock

	park  parking
	heard atomic.Int64 // when the last bytes came from the peer; see clock
}

// Subprotocol reports whether the peer asked for the sub-protocol.
func (s *Socket) Subprotocol() bool { return s.subprotocol }

// Answer sends what Upgrade returned, once and before anything else.
func (s *Socket) Answer(answer []byte) { _ = s.out.send(answer, true) } // of a connection that is broken already Serve tells

// SetMaxMessage sets how many bytes a message of the peer may have that begins to arrive from now on; below 2 GiB.
func (s *Socket) SetMaxMessage(bytes int) { s.maxMessage.Store(int32(bytes)) }

// Serve begins to read and returns. The handler's Closed is called in the end, whatever happens.
func (s *Socket) Serve() {
	s.heard.Store(clock.Millis(time.Now()))
	if !s.wait() {
		go s.read()
	}
}

// Send takes one whole frame made by Frame. It returns ErrFull when the peer does not read and the outbox is at
// its cap, ErrClosed when the connection has ended, and nil when the frame is in the kernel or kept in order.
func (s *Socket) Send(frame []byte) error { return s.out.send(frame, false) }

// Near reads the part of the socket that Send will need. Whoever sends to many calls it for the next ones beforehand: the
// processor then waits for the memory of several at once, and not for one after the other.
func (s *Socket) Near() int32 { return s.out.fd }

// Ping sends a ping, also past the cap.
func (s *Socket) Ping() { _ = s.out.send(pingFrame, true) } // a closed socket needs no ping

// End ends the connection; the first reason counts. It sends the close frame if the reason has one. The
// descriptor is closed when the peer has answered, or by Kill.
func (s *Socket) End(r protocol.Reason) { s.EndWith(r, "") }

// EndWith ends the connection and tells the peer more than the reason's text.
func (s *Socket) EndWith(r protocol.Reason, detail string) {
	s.once.Do(func() {
		s.reason = r
		s.since.Store(clock.Millis(time.Now()))
		s.ended.Store(true)
		if r.Code() == 0 || r == protocol.ReasonPeerClosed {
			_ = s.out.Close() // wakes the reader, which reports the end
			return
		}
		text := r.String()
		if detail != "" {
			text += ": " + detail
		}
		s.out.seal(closeFrame(r.Code(), text))
	})
}

// Kill closes the descriptor at once.
func (s *Socket) Kill() {
	s.End(protocol.ReasonPeerGone)
	_ = s.out.Close() // a second close is harmless
}

// EndedFor returns how long ago the connection ended, 0 while it is open.
func (s *Socket) EndedFor(now time.Time) time.Duration {
	if !s.ended.Load() {
		return 0
	}
	return max(1, now.Sub(clock.Time(s.since.Load())))
}

// Heard returns when the peer last sent something.
func (s *Socket) Heard() time.Time { return clock.Time(s.heard.Load()) }

// Queued returns the bytes that wait for the peer to read.
func (s *Socket) Queued() int { return s.out.queued() }

// Sent reports whether the kernel has everything that was sent.
func (s *Socket) Sent() bool { return s.out.sent() }

// finish is the reader's last act.
func (s *Socket) finish(r protocol.Reason) {
	s.End(r)
	if s.park.parker != nil {
		s.park.parker.Forget(int(s.out.fd), s)
	}
	_ = s.out.Close() // a second close is harmless
	s.out.idle.Wait()
	s.h.Closed(s.reason)
}
