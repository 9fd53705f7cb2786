package socket

import (
	"slices"
	"strconv"
	"syscall"
	"testing"
)

// A connection that was read from costs no more than a new one: no goroutine.
func TestIdleConnectionsCostNoGoroutine(t *testing.T) {
	const sockets = 20
	peers := make([]*peer, sockets)
	for i := range peers {
		peers[i], _, _ = connect(t, setup{})
	}
	for range 3 {
		for _, p := range peers {
			p.send(ping("x"), text("hello"))
			p.expect(opPong, "x")
		}
		eventually(t, "everybody is parked", func() bool { return running("socket.(*Socket).read") == 0 })
	}
	if n := running("socket.(*outbox).flush"); n != 0 {
		t.Errorf("%d flushers run", n)
	}
}

// Descriptors get the numbers of those that were closed; everybody must still be told of their own bytes only.
func TestReusedDescriptors(t *testing.T) {
	parker := startParker(t)
	for i := range 50 {
		want := "t:" + strconv.Itoa(i)
		p, s, rec := connect(t, setup{o: Options{Parker: parker}, alone: true})
		eventually(t, "it is parked", s.park.parked.Load)
		p.send(text(want[2:]))
		eventually(t, "the message", func() bool { return slices.Equal(rec.got(), []string{want}) })
		s.Kill()
		<-rec.over
	}
	parker.mu.Lock()
	defer parker.mu.Unlock()
	for fd, at := range parker.slots {
		if at.s != nil {
			t.Errorf("descriptor %d is remembered after its end", fd)
		}
	}
}

// An event of a connection that is gone must not wake the one that has its number now.
func TestStaleEvents(t *testing.T) {
	parker := startParker(t)
	_, s, _ := connect(t, setup{o: Options{Parker: parker}, alone: true})
	eventually(t, "it is parked", s.park.parked.Load)
	parker.mu.Lock()
	turn := parker.slots[s.out.fd].turn
	parker.mu.Unlock()
	parker.wake([]syscall.EpollEvent{{Events: syscall.EPOLLIN, Fd: s.out.fd, Pad: turn - 1}})
	if !s.park.parked.Load() {
		t.Error("woken by an event of an earlier descriptor")
	}
}
