package clients

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	readSize  = 64 << 10 // bytes of one read
	eventSize = 256      // events of one wait
	// wakeInterval is how often the loop looks whether it should end, in milliseconds.
	wakeInterval = 100
)

// conn is one client; after it was added the loop's alone.
type conn struct {
	fd      int
	index   int // in the fleet
	v1      bool
	hand    *handshake // until the server has answered
	ponged  bool
	frames  decoder
	round   int // of the last message counted
	started bool
	at      *string // where to keep the position in the inbox; nil: nowhere
}

// loop serves all sockets of a fleet from one thread.
type loop struct {
	epoll int
	conns []atomic.Pointer[conn] // by descriptor
	rec   *recorder
	buf   []byte
	ended atomic.Bool
	leave atomic.Bool // close all connections

	// What has happened, for Fleet.Stats.
	open, started, pings, ponged, closed atomic.Int64
	failure                              atomic.Pointer[string] // the first one
}

func newLoop(rec *recorder) (*loop, error) {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return nil, fmt.Errorf("read the limit of open files: %w", err)
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &loop{
		epoll: fd, rec: rec, buf: make([]byte, readSize),
		conns: make([]atomic.Pointer[conn], min(lim.Cur, 1<<20)),
	}, nil
}

// add takes over a descriptor on which the answer to the handshake will come, and tells hand what it is. A client that
// has a position in at resumes there, and keeps at up to date.
func (l *loop) add(fd, index int, v1 bool, hand *handshake, at *string) error {
	l.conns[fd].Store(&conn{fd: fd, index: index, v1: v1, round: -1, at: at, hand: hand})
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: int32(fd)}
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// answer takes a part of the answer to the handshake. A refused connection ends here.
func (l *loop) answer(c *conn, b []byte) {
	complete, ahead, refused := c.hand.feed(b)
	if !complete {
		return
	}
	hand := c.hand
	if refused != nil {
		l.conns[c.fd].Store(nil)
		_ = syscall.Close(c.fd) // refused anyway
		hand.done <- refused
		return
	}
	c.hand = nil
	l.open.Add(1)
	hand.done <- nil
	l.feed(c, ahead)
}

func (l *loop) feed(c *conn, b []byte) {
	if err := c.frames.feed(b, func(op byte, p []byte) { l.frame(c, op, p) }); err != nil {
		l.drop(c, err.Error())
	}
}

// run serves until end is called.
func (l *loop) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events := make([]syscall.EpollEvent, eventSize)
	for !l.ended.Load() {
		n, err := syscall.EpollWait(l.epoll, events, wakeInterval)
		if err != nil && err != syscall.EINTR {
			l.fail("epoll: " + err.Error())
			return
		}
		for _, ev := range events[:max(n, 0)] {
			if c := l.conns[ev.Fd].Load(); c != nil {
				l.read(c)
			}
		}
		if l.leave.Load() {
			l.closeAll()
			l.leave.Store(false)
		}
	}
	l.closeAll()
	_ = syscall.Close(l.epoll) // as above
}

func (l *loop) end() { l.ended.Store(true) }

// closeAll ends all connections from this side.
func (l *loop) closeAll() {
	for i := range l.conns {
		c := l.conns[i].Swap(nil)
		if c == nil {
			continue
		}
		_ = syscall.Close(c.fd) // nothing is written that could be lost
		if c.hand != nil {
			c.hand.done <- errors.New("left during the handshake")
			continue
		}
		l.open.Add(-1)
		if c.started {
			l.started.Add(-1)
		}
	}
}

// read takes what is there; epoll is level-triggered and tells again if more came.
func (l *loop) read(c *conn) {
	n, err := syscall.Read(c.fd, l.buf)
	switch {
	case err == syscall.EINTR || err == syscall.EAGAIN:
	case err != nil:
		l.drop(c, "read: "+err.Error())
	case n == 0:
		l.drop(c, "the server closed the connection")
	case c.hand != nil:
		l.answer(c, l.buf[:n])
	default:
		l.feed(c, l.buf[:n])
	}
}

// stall has n connections, evenly spread, stop to read. What happens to them is not noticed from then on.
func (l *loop) stall(n int) error {
	total := int(l.open.Load())
	for i := range l.conns {
		c := l.conns[i].Load()
		if c == nil || !spread(c.index, n, total) {
			continue
		}
		if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, c.fd, nil); err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
	}
	return nil
}

func (l *loop) drop(c *conn, why string) {
	l.conns[c.fd].Store(nil)
	_ = syscall.Close(c.fd) // the server is gone
	if c.hand != nil {
		c.hand.done <- errors.New("during the handshake: " + why)
		return
	}
	l.fail(why)
	l.open.Add(-1)
	l.closed.Add(1)
}

func (l *loop) fail(why string) { l.failure.CompareAndSwap(nil, &why) }

var (
	helloPrefix   = []byte(`{"type":"hello"`)
	startedPrefix = []byte(`{"type":"started"`)
	messagePrefix = []byte(`{"type":"message"`)
	startFrame    = masked(opText, []byte(`{"type":"start"}`))
)

// What precedes an inbox's position in the answer to start, and in a message. Clients of a fleet that resumes are sent
// to by name only, so every message is of their inbox.
var (
	inboxMark = []byte(`"inbox":"`)
	posMark   = []byte(`"pos":"`)
)

// startAt is the frame that begins after a kept position, or where the server thinks when there is none.
func startAt(at *string) []byte {
	if at == nil || *at == "" {
		return startFrame
	}
	return masked(opText, fmt.Appendf(nil, `{"type":"start","pos":{"inbox":%q}}`, *at))
}

// keep notes the position that follows mark.
func (c *conn) keep(payload, mark []byte) {
	if c.at == nil {
		return
	}
	_, rest, found := bytes.Cut(payload, mark)
	if end := bytes.IndexByte(rest, '"'); found && end > 0 {
		*c.at = string(rest[:end])
	}
}

// frame acts on one frame.
func (l *loop) frame(c *conn, op byte, payload []byte) {
	switch op {
	case opPing:
		l.write(c, masked(opPong, payload))
		l.pings.Add(1)
		if !c.ponged {
			c.ponged = true
			l.ponged.Add(1)
		}
	case opClose:
		l.fail(fmt.Sprintf("closed by the server: %q", payload))
	case opText, opBinary:
		l.message(c, payload)
	}
}

func (l *loop) message(c *conn, payload []byte) {
	if c.v1 && !bytes.HasPrefix(payload, messagePrefix) {
		switch {
		case bytes.HasPrefix(payload, helloPrefix):
			l.write(c, startAt(c.at))
		case bytes.HasPrefix(payload, startedPrefix) && !c.started:
			c.started = true
			l.started.Add(1)
			c.keep(payload, inboxMark)
		}
		return
	}
	c.keep(payload, posMark)
	l.rec.message(c, payload, time.Now())
}

// write sends a small frame; loopback sockets that are served have room for it.
func (l *loop) write(c *conn, frame []byte) {
	if n, err := syscall.Write(c.fd, frame); err != nil || n < len(frame) {
		l.fail(fmt.Sprintf("write of %d bytes: %d, %v", len(frame), n, err))
	}
}
