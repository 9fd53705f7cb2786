package socket

import (
	"slices"
	"strconv"
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
}
