package socket

import (
	"net"
	"slices"
	"strconv"
	"testing"

	"github.com/imtier/imtier/imserver/internal/tcp"
	"github.com/imtier/imtier/imserver/internal/tcp/tcptest"
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
	parker := tcptest.StartParker(t)
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

// The descriptor of a connection that is closed may be another one's.
func TestAConnectionThatIsClosedHasNoDescriptor(t *testing.T) {
	l, err := tcp.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	there, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	here, _, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var open, closed Socket
	open.out.open(here, 1, nil, &open)
	_ = here.Close()
	closed.out.open(here, 1, nil, &closed)
	if open.out.fd == noFD || closed.out.fd != noFD {
		t.Errorf("descriptor %d while open, %d afterwards", open.out.fd, closed.out.fd)
	}
}
