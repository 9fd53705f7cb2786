package tcp

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
)

// bell counts how often it was rung.
type bell struct {
	rung atomic.Int32
	deaf bool // does not wait
}

func (b *bell) Waits() bool { return !b.deaf }

func (b *bell) Ready() { b.rung.Add(1) }

func (b *bell) wait(t *testing.T, times int32) {
	t.Helper()
	eventually(t, fmt.Sprintf("rung %d times", times), func() bool { return b.rung.Load() == times })
}

func start(t *testing.T) *Parker {
	t.Helper()
	p, err := NewParker()
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{})
	go func() { defer close(ran); p.Run() }()
	t.Cleanup(func() { p.Close(); <-ran })
	return p
}

func park(t *testing.T, p *Parker, c *Conn, w Waiter) {
	t.Helper()
	if err := c.With(func(fd int) error { return p.Park(fd, w) }); err != nil {
		t.Fatal(err)
	}
}

func number(c *Conn) (n int) {
	_ = c.With(func(fd int) error { n = fd; return nil })
	return n
}

func TestParker(t *testing.T) {
	p, l := start(t), listen(t)
	there, here, _ := pair(t, l)
	first, second := new(bell), new(bell)
	park(t, p, here, first)
	if _, err := there.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	first.wait(t, 1)
	park(t, p, here, first) // what is there is told at once, and once
	first.wait(t, 2)
	park(t, p, here, second) // somebody else waits for the same descriptor
	second.wait(t, 1)
	if _, err := here.TryRead(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	park(t, p, here, second)
	park(t, p, here, &bell{deaf: true}) // does not take its place
	_ = there.Close()
	second.wait(t, 2)
	first.wait(t, 2)
}

// Numbers of descriptors are given again. Nobody is told what was another's, and nobody is remembered.
func TestDescriptorsThatAreUsedAgain(t *testing.T) {
	p, l := start(t), listen(t)
	seen := make(map[int]bool)
	for range 20 {
		there, here, _ := pair(t, l)
		seen[number(here)] = true
		w := new(bell)
		park(t, p, here, w)
		if _, err := there.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		w.wait(t, 1)
		_ = here.Close()
		_ = there.Close()
	}
	if len(seen) == 20 {
		t.Error("no number was given again: this test has shown nothing")
	}
	_, here, _ := pair(t, l)
	fd, w := number(here), new(bell)
	park(t, p, here, w)
	p.mu.Lock()
	turn := p.slots[fd].turn
	p.mu.Unlock()
	p.wake([]syscall.EpollEvent{{Events: syscall.EPOLLIN, Fd: int32(fd), Pad: turn - 1}})
	if w.rung.Load() != 0 {
		t.Error("told an event of an earlier descriptor")
	}
	p.Forget(fd, new(bell)) // of another one
	p.wake([]syscall.EpollEvent{{Events: syscall.EPOLLIN, Fd: int32(fd), Pad: turn}})
	w.wait(t, 1)
	p.Forget(fd, w)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots[fd].w != nil {
		t.Error("remembered")
	}
}

func TestAParkerThatIsClosed(t *testing.T) {
	p := start(t)
	_, here, _ := pair(t, listen(t))
	p.Close()
	if err := here.With(func(fd int) error { return p.Park(fd, new(bell)) }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Park: %v", err)
	}
}
