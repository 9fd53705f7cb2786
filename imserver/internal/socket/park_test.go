package socket

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/imserver/internal/tcp"
	"github.com/imtier/imtier/pkg/protocol"
)

// A parked connection has no reader that would notice: each way to end it has to start one.
func TestParkedConnectionsEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*peer, *Socket)
		want protocol.Reason
	}{
		{"killed", func(_ *peer, s *Socket) { s.Kill() }, protocol.ReasonPeerGone},
		{"ended without a close frame", func(_ *peer, s *Socket) { s.End(protocol.ReasonPeerGone) }, protocol.ReasonPeerGone},
		{"ended, and the peer answers", func(p *peer, s *Socket) {
			s.End(protocol.ReasonDraining)
			p.expectClose(protocol.ReasonDraining.Code())
			_ = p.Conn.Close()
		}, protocol.ReasonDraining},
		{"ended, and the peer never answers", func(p *peer, s *Socket) {
			s.End(protocol.ReasonDraining)
			p.expectClose(protocol.ReasonDraining.Code())
			s.Kill()
		}, protocol.ReasonDraining},
		{"the peer is gone", func(p *peer, _ *Socket) { _ = p.Conn.Close() }, protocol.ReasonPeerGone},
		{"the peer closes", func(p *peer, _ *Socket) { p.send(clientFrame(finBit|byte(opClose), []byte("\x03\xe8"))) }, protocol.ReasonPeerClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, s, rec := connect(t, setup{})
			p.send(ping("x"))
			p.expect(opPong, "x")
			if s.park.parker != nil {
				eventually(t, "it is parked", s.park.parked.Load)
			}
			tt.end(p, s)
			expectClosed(t, rec, tt.want)
		})
	}
}

// Ending and being written to at the same moment must leave exactly one reader.
func TestParkedConnectionsEndOnce(t *testing.T) {
	for range 100 {
		p, s, rec := connect(t, setup{})
		var wg sync.WaitGroup
		wg.Go(func() { s.End(protocol.ReasonPeerGone) })
		wg.Go(func() { _, _ = p.Write(text("m")) }) // may find it closed
		wg.Go(s.Kill)
		wg.Wait()
		expectClosed(t, rec, protocol.ReasonPeerGone)
	}
}

// Pings and pongs of a silent peer are dealt with where the Parker tells of them; whatever else comes, by a reader.
func TestControlFramesOfAParkedConnectionNeedNoReader(t *testing.T) {
	rec := &recorder{}
	read := make(chan int, 8) // readers when a frame was counted
	rec.frame = func() { read <- running("(*Socket).read") }
	p, s, _ := connect(t, setup{handler: rec})
	if s.park.parker == nil {
		t.Skip("no Parker on this system")
	}
	long := strings.Repeat("p", maxControlPayload)
	for _, tt := range []struct {
		name    string
		bytes   []byte
		readers []int // for each frame
	}{
		{"a ping", ping("x"), []int{0}},
		{"a long one", ping(long), []int{0}},
		{"a pong", pong(""), []int{0}},
		{"two at once", slices.Concat(pong(""), pong("")), []int{1, 1}},
		{"a message", text("m"), []int{1}},
		{"a long one", text(strings.Repeat("m", 3*glanceSize)), []int{1}},
		{"a pong and a message", slices.Concat(pong("x"), text("m")), []int{1, 1}},
		{"a pong after all that", pong("x"), []int{0}},
	} {
		eventually(t, "it is parked, and its last reader is gone", func() bool {
			return s.park.parked.Load() && running("(*Socket).read") == 0
		})
		p.send(tt.bytes)
		for i, want := range tt.readers {
			select {
			case got := <-read:
				if got != want {
					t.Errorf("%s: frame %d met %d readers, want %d", tt.name, i, got, want)
				}
			case <-time.After(patience):
				t.Fatalf("%s: frame %d did not come", tt.name, i)
			}
		}
	}
	if got := rec.got(); len(got) != 3 {
		t.Errorf("messages: %.20q, want three", got)
	}
}

// A frame may be one too many: then the connection ends while nobody reads.
func TestAParkedConnectionEndsByAPong(t *testing.T) {
	rec := &recorder{}
	ended := make(chan *Socket, 1)
	rec.frame = func() { (<-ended).End(protocol.ReasonTooMuchInput) }
	p, s, _ := connect(t, setup{handler: rec})
	if s.park.parker != nil {
		eventually(t, "it is parked", s.park.parked.Load)
	}
	ended <- s
	p.send(pong(""))
	p.expectClose(protocol.ReasonTooMuchInput.Code())
	_ = p.Conn.Close()
	expectClosed(t, rec, protocol.ReasonTooMuchInput)
}

func TestWithoutAParker(t *testing.T) {
	closed, err := tcp.NewParker()
	if err != nil {
		t.Fatal(err)
	}
	if closed != nil {
		closed.Close()
	}
	for _, tt := range []struct {
		name   string
		parker *tcp.Parker
	}{
		{"none", nil},
		{"one that takes nothing", closed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, s, rec := connect(t, setup{o: Options{Parker: tt.parker}, alone: true, patience: 1})
			for range 3 { // a patience of a nanosecond would end it, if it counted for silence
				p.send(ping("x"))
				p.expect(opPong, "x")
			}
			p.send(text("a"))
			eventually(t, "the message", func() bool { return slices.Equal(rec.got(), []string{"t:a"}) })
			s.End(protocol.ReasonDraining)
			p.expectClose(protocol.ReasonDraining.Code())
			_ = p.Conn.Close()
			expectClosed(t, rec, protocol.ReasonDraining)
		})
	}
}
