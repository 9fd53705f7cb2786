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
	// wakeInterval is how often the loop looks whether it should end, in milliseconds: of many processes each costs the
	// machine something every time.
	wakeInterval = 1000
)

// conn is one client; after it was added the loop's alone. There may be a million of them on the machine.
type conn struct {
	fd      int32
	index   int32 // in the fleet
	number  int32 // of the client
	round   int32 // of the last message counted
	v1      bool
	ponged  bool
	started bool
	acks    bool       // acknowledges what it gets
	owes    bool       // an acknowledgement
	hand    *handshake // until the server has answered
	frames  decoder
	at      *place // where to keep the positions; nil: nowhere
}

// loop serves all sockets of a fleet from one thread.
type loop struct {
	epoll int
	conns []atomic.Pointer[conn] // by descriptor
	rec   *recorder
	buf   []byte
	ended atomic.Bool
	leave atomic.Bool // close all connections

	bell    [2]int // a pipe: a byte in it wakes the loop
	given   atomic.Pointer[opening]
	opening *opening // connections that are being opened; nil: none

	acks acks

	mayLose atomic.Bool // the server may break connections

	// What has happened, for Fleet.Stats.
	open, started, pings, ponged, closed atomic.Int64
	repeated, unproved, acked            atomic.Int64
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
	l := &loop{
		epoll: fd, rec: rec, buf: make([]byte, readSize),
		conns: make([]atomic.Pointer[conn], min(lim.Cur, 1<<20)),
	}
	if err := syscall.Pipe2(l.bell[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	return l, l.watch(syscall.EPOLL_CTL_ADD, l.bell[0], 0)
}

// wake has the loop look at what it was told. It may be called from anywhere.
func (l *loop) wake() { _, _ = syscall.Write(l.bell[1], []byte{0}) } // when the pipe is full it will wake anyway

// watch tells epoll what to wait for besides bytes that arrive.
func (l *loop) watch(op, fd int, more uint32) error {
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | more, Fd: int32(fd)}
	if err := syscall.EpollCtl(l.epoll, op, fd, &ev); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
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
		n, err := syscall.EpollWait(l.epoll, events, l.patience())
		if err != nil && err != syscall.EINTR {
			l.fail("epoll: " + err.Error())
			return
		}
		for _, ev := range events[:max(n, 0)] {
			if c := l.conns[ev.Fd].Load(); c != nil {
				l.ready(c, ev.Events)
			} else if int(ev.Fd) == l.bell[0] {
				_, _ = syscall.Read(l.bell[0], l.buf) // only the waking counts
			}
		}
		if l.leave.Load() {
			l.closeAll()
			l.leave.Store(false)
		}
		l.dial()
		l.acknowledge()
	}
	l.closeAll()
	for _, fd := range []int{l.epoll, l.bell[0], l.bell[1]} {
		_ = syscall.Close(fd) // nobody uses it any more
	}
}

func (l *loop) end() {
	l.ended.Store(true)
	l.wake()
}

// ready acts on what epoll says about a connection.
func (l *loop) ready(c *conn, events uint32) {
	if c.hand != nil && events&syscall.EPOLLOUT != 0 {
		l.writable(c)
		return // if there is something to read epoll says so again
	}
	l.read(c)
}

// closeAll ends all connections from this side.
func (l *loop) closeAll() {
	l.finish(errors.New("left while connections were opened"))
	for i := range l.conns {
		c := l.conns[i].Swap(nil)
		if c == nil {
			continue
		}
		_ = syscall.Close(int(c.fd)) // nothing is written that could be lost
		if c.hand != nil {
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
	n, err := syscall.Read(int(c.fd), l.buf)
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
		if c == nil || !spread(int(c.index), n, total) {
			continue
		}
		if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, int(c.fd), nil); err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
	}
	return nil
}

func (l *loop) drop(c *conn, why string) {
	if c.hand != nil {
		l.fall(c, errors.New("during the handshake: "+why))
		return
	}
	l.conns[c.fd].Store(nil)
	_ = syscall.Close(int(c.fd)) // the server is gone
	if !l.mayLose.Load() {
		l.fail(why)
		l.closed.Add(1)
	}
	if c.started {
		l.started.Add(-1)
	}
	l.open.Add(-1)
}

func (l *loop) fail(why string) { l.failure.CompareAndSwap(nil, &why) }

var (
	helloPrefix   = []byte(`{"type":"hello"`)
	startedPrefix = []byte(`{"type":"started"`)
	messagePrefix = []byte(`{"type":"message"`)
	gapPrefix     = []byte(`{"type":"gap"`)
)

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
		l.control(c, payload)
		return
	}
	now := time.Now()
	if c.at != nil {
		was := *c.at
		if !c.at.message(payload) {
			l.repeated.Add(1)
		}
		if *c.at != was {
			l.acks.owe(c, now)
		}
	}
	l.rec.message(c, payload, now)
}

// control takes a frame of imtier.v1 that is no message.
func (l *loop) control(c *conn, payload []byte) {
	switch {
	case bytes.HasPrefix(payload, helloPrefix):
		l.write(c, c.at.start())
	case bytes.HasPrefix(payload, startedPrefix) && !c.started:
		c.started = true
		l.started.Add(1)
		if c.at != nil && !c.at.started(payload) {
			l.unproved.Add(1)
		}
	case bytes.HasPrefix(payload, gapPrefix):
		l.unproved.Add(1)
	}
}

// write sends a small frame; loopback sockets that are served have room for it.
func (l *loop) write(c *conn, frame []byte) {
	if n, err := syscall.Write(int(c.fd), frame); (err != nil || n < len(frame)) && !l.mayLose.Load() {
		l.fail(fmt.Sprintf("write of %d bytes: %d, %v", len(frame), n, err))
	}
}
