package tcp

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// parkerBatch is how many connections are taken from the kernel at once.
const parkerBatch = 128

// Parker watches connections on which nothing happens. Go's own poller would need a goroutine for each, with a stack of
// 2 KiB at least, and the collector would look through them all: with it, an idle connection costs 2.4 KB more.
//
// One epoll holds them all. A descriptor is in it from the first wait until it is closed, and disarmed by each event
// (EPOLLONESHOT) until somebody waits for it again. It is level-triggered: bytes that came before the wait are told at once.
type Parker struct {
	epoll  int
	file   *os.File // the same; Go's poller waits on it as on any descriptor, so no thread does
	raw    syscall.RawConn
	events [parkerBatch]syscall.EpollEvent // Run's alone

	mu     sync.Mutex
	closed bool
	turn   int32
	slots  []slot // by descriptor
}

// slot is who waits for a descriptor. The kernel gives numbers again: turn, which each event brings with it, tells
// an event of the one before.
type slot struct {
	w    Waiter
	turn int32
}

// NewParker makes a Parker; call Run, and Close in the end, when no connection uses it any more.
func NewParker() (*Parker, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // or os would not give it to Go's poller
		_ = syscall.Close(fd) // never used
		return nil, fmt.Errorf("epoll: %w", err)
	}
	p := &Parker{epoll: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close() // never used
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return p, nil
}

// Close makes Run return. Connections that are parked stay so until they are closed.
func (p *Parker) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	_ = p.file.Close() // nothing was written
}

// Run tells waiters, one after the other, until Close.
func (p *Parker) Run() {
	for {
		n, err := 0, error(nil)
		closed := p.raw.Read(func(fd uintptr) bool {
			n, err = syscall.EpollWait(int(fd), p.events[:], 0)
			return n > 0 || err != nil
		})
		if closed != nil {
			return
		}
		if err == nil { // else a signal came between
			p.wake(p.events[:n])
		}
	}
}

func (p *Parker) wake(events []syscall.EpollEvent) {
	for _, e := range events {
		if w := p.waiter(e); w != nil {
			w.Ready()
		}
	}
}

// waiter returns whom an event is for; nil when that one does not wait any more.
func (p *Parker) waiter(e syscall.EpollEvent) Waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.slots[e.Fd]; at.turn == e.Pad {
		return at.w
	}
	return nil
}

// Park has w.Ready called once, as soon as the descriptor can be read, or its connection has ended or broken; if w does not
// wait any more it does nothing, since somebody else may wait in its place. It fails when the
// kernel watches no more (fs.epoll.max_user_watches), and after Close. The caller sees to it that the descriptor is open
// until Park returns, and calls Forget when w has no more use for it.
func (p *Parker) Park(fd int, w Waiter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrClosed
	}
	if !w.Waits() {
		return nil
	}
	if fd >= len(p.slots) {
		p.slots = append(p.slots, make([]slot, max(fd+1-len(p.slots), len(p.slots)/4))...)
	}
	at := &p.slots[fd]
	before := at.w
	if before != w {
		p.turn++
		*at = slot{w, p.turn}
	}
	// Whose number it was before may have left it, closed: then the kernel does not know it.
	err := error(syscall.ENOENT)
	if before != nil {
		err = p.control(syscall.EPOLL_CTL_MOD, fd)
	}
	if errors.Is(err, syscall.ENOENT) {
		err = p.control(syscall.EPOLL_CTL_ADD, fd)
	}
	if err != nil {
		*at = slot{}
	}
	return err
}

// control arms a descriptor. The caller holds mu.
func (p *Parker) control(op, fd int) error {
	return syscall.EpollCtl(p.epoll, op, fd, &syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: int32(fd), Pad: p.slots[fd].turn,
	})
}

// Forget drops a waiter whose connection has ended, unless the descriptor's number has gone to another one.
func (p *Parker) Forget(fd int, w Waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fd < len(p.slots) && p.slots[fd].w == w {
		p.slots[fd] = slot{}
	}
}
