package socket

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/imtier/imtier/imserver/internal/tcp"
)

var (
	// ErrFull means that the frame was not taken: the peer does not read and the outbox is at its cap.
	ErrFull    = errors.New("outbox full")
	errTooMuch = errors.New("a message of too many frames")
	// ErrClosed means that the connection has ended; nothing is sent any more.
	ErrClosed = errors.New("socket closed")
)

const (
	// flushTimeout is how long the kernel may refuse to take one piece before the connection counts as dead.
	flushTimeout = 30 * time.Second
	// flushPiece is how many bytes of a frame that is: a peer that reads 2 KB a second is slow, not dead.
	flushPiece = 64 << 10
)

// outbox is where the frames of this package are sent, and what coder/websocket reads from and writes to (see reader).
// A write never waits: what the kernel does not take at once is kept, up to a cap in bytes, and flushed by a
// goroutine that exists only while something is kept. So a fan-out is a plain loop, a socket costs no goroutine
// and no buffer, and one peer that stopped reading delays nobody.
//
// Every call of send and Write hands over whole frames, which is why two writers may share it under one lock:
// coder/websocket's own writes are control frames only, and fit its buffer (see controlBuffer).
type outbox struct {
	// What sending touches is 32 bytes, the first: with a million connections on a machine none of it is in any cache when
	// a broadcast comes by.
	mu       sync.Mutex
	fd       int32    // fixed; open as long as closed is not set. -1: this kind of connection has no descriptor, everything goes through the flusher
	sealed   bool     // the close frame is in; nothing more is taken
	closed   bool     // the descriptor is closed or broken; set before it is
	refused  bool     // since the last time kept was empty
	flushing bool     // the flusher runs
	bytes    int      // in kept; 0 when that is empty
	cap      int      // bytes kept at most, beyond the first frame; fixed
	kept     [][]byte // in order; the first may be the rest of a frame

	net.Conn
	owner *Socket       // whose it is; fixed
	front *bytes.Reader // what was read already, by the handshake or glance, nil if nothing; the reader's alone

	idle sync.WaitGroup
}

// noFD is the descriptor of a connection that has none.
const noFD = -1

// open makes an outbox of a connection that nobody uses yet. From now on it must be closed by Close only.
func (o *outbox) open(c net.Conn, capBytes int, front []byte, owner *Socket) {
	o.Conn, o.cap, o.owner, o.fd = c, capBytes, owner, noFD
	if len(front) > 0 {
		o.front = bytes.NewReader(front)
	}
	switch c := c.(type) {
	case interface {
		With(func(fd int) error) error
	}: // of package tcp
		_ = c.With(func(fd int) error { o.fd = int32(fd); return nil }) // as below
	case syscall.Conn: // of package net
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { o.fd = int32(fd) }) // fails only when closed; so will reading
		}
	}
}

// with calls f with the descriptor, which stays open until f returns.
func (o *outbox) with(f func(fd int) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return net.ErrClosed
	}
	return f(int(o.fd))
}

// readNow reads what has come; nothing when that is nothing, or when there is no descriptor.
func (o *outbox) readNow(p []byte) (int, error) {
	if o.front != nil {
		return o.Read(p)
	}
	return o.receive(p)
}

// receive is readNow when nothing is in front.
func (o *outbox) receive(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.fd == noFD {
		return 0, nil // Read tells
	}
	return tcp.RecvNow(int(o.fd), p)
}

// Read serves what was read already, then the connection.
func (o *outbox) Read(p []byte) (int, error) {
	if o.front != nil {
		n, err := o.front.Read(p)
		if o.front.Len() == 0 {
			o.front = nil
		}
		return n, err
	}
	return o.Conn.Read(p)
}

// Write is for coder/websocket, which writes control frames: pongs, and a close after a protocol error.
func (o *outbox) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sealed || o.closed {
		return 0, ErrClosed
	}
	if len(p) > 0 && Opcode(p[0]&0x0f) == opClose {
		o.sealed = true
	}
	n, err := o.writeNow(p)
	if err != nil {
		return 0, err
	}
	if n < len(p) {
		o.keep(append([]byte(nil), p[n:]...)) // p is the caller's buffer
	}
	return len(p), nil
}

// send takes one whole frame, which must not change any more. It never blocks. force ignores the cap.
func (o *outbox) send(frame []byte, force bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sealed || o.closed {
		return ErrClosed
	}
	if !force && o.bytes > 0 && o.bytes+len(frame) > o.cap {
		o.refused = true
		return ErrFull
	}
	return o.take(frame)
}

// seal sends the close frame as the last one, unless coder/websocket has sent one for the same reason, and then
// closes the writing side.
func (o *outbox) seal(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if !o.sealed {
		o.sealed = true
		if o.take(frame) != nil {
			return
		}
	}
	if len(o.kept) == 0 {
		o.halfClose()
	}
}

// take writes or keeps a frame. The caller holds mu.
func (o *outbox) take(frame []byte) error {
	n, err := o.writeNow(frame)
	if err != nil {
		return err
	}
	if n < len(frame) {
		o.keep(frame[n:])
	}
	return nil
}

// writeNow gives the kernel what it takes at once; nothing when something is kept already. The caller holds mu, which
// keeps the descriptor open.
func (o *outbox) writeNow(p []byte) (int, error) {
	if o.closed {
		return 0, ErrClosed
	}
	if o.fd == noFD || o.bytes > 0 || len(p) == 0 {
		return 0, nil
	}
	n, err := tcp.SendNow(int(o.fd), p)
	if err != nil {
		o.closed = true
		_ = o.hangUp()
		return 0, ErrClosed
	}
	return n, nil
}

// keep queues the rest of a frame and sees to it that a flusher runs. The caller holds mu.
func (o *outbox) keep(p []byte) {
	o.kept = append(o.kept, p)
	o.bytes += len(p)
	if !o.flushing {
		o.flushing = true
		o.idle.Add(1)
		go o.flush()
	}
}

// flush writes what is kept until nothing is left or the connection breaks.
func (o *outbox) flush() {
	defer o.idle.Done()
	for {
		o.mu.Lock()
		if o.closed || len(o.kept) == 0 {
			o.flushing = false
			_ = o.Conn.SetWriteDeadline(time.Time{}) // no timer stays behind; fails only when closed
			wake := o.refused && !o.closed
			o.refused = false
			o.kept = nil // give the memory of a burst back
			if o.closed {
				o.bytes = 0
			} else if o.sealed {
				o.halfClose()
			}
			o.mu.Unlock()
			if wake {
				o.owner.h.Room()
			}
			return
		}
		p := o.kept[0]
		piece := p[:min(len(p), flushPiece)]
		o.mu.Unlock()

		_ = o.Conn.SetWriteDeadline(time.Now().Add(flushTimeout)) // fails only when closed; so does Write
		n, err := o.Conn.Write(piece)

		o.mu.Lock()
		o.bytes -= n
		if err != nil {
			o.closed = true
		} else if o.kept[0] = p[n:]; n == len(p) {
			o.kept[0] = nil
			o.kept = o.kept[1:]
		}
		o.mu.Unlock()
		if err != nil {
			_ = o.hangUp()
		}
	}
}

// halfClose tells the peer that nothing more comes, so that it reads the close frame before anything else.
// The caller holds mu.
func (o *outbox) halfClose() {
	if c, ok := o.Conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // a broken connection is the reader's to find
	}
}

// Close closes the descriptor; a running flusher and reader return.
func (o *outbox) Close() error {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	return o.hangUp()
}

// hangUp closes the descriptor and wakes the reader, which ends the connection: out of its read by closing, or out of
// the Parker.
func (o *outbox) hangUp() error {
	err := o.Conn.Close()
	o.owner.rouse()
	return err
}

// queued returns the bytes kept.
func (o *outbox) queued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// sent reports whether the kernel has everything that was taken. What a closed connection kept nobody has.
func (o *outbox) sent() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes == 0 && !o.closed
}
