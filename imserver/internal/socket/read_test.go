package socket

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imtier/imtier/imserver/internal/clock"
	"github.com/imtier/imtier/pkg/protocol"
)

func TestMessagesArriveHoweverTheyAreCut(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	hello := clientFrame(finBit|byte(OpBinary), []byte("bin"))
	tests := []struct {
		name   string
		early  []byte   // together with the handshake
		writes [][]byte // each waits until the one before was looked at
		single bool     // write byte by byte
		want   []string
	}{
		{"one", nil, [][]byte{text("a")}, false, []string{"t:a"}},
		{"empty", nil, [][]byte{text("")}, false, []string{"t:"}},
		{"binary", nil, [][]byte{hello}, false, []string{"b:bin"}},
		{"with the handshake", text("early"), nil, false, []string{"t:early"}},
		{"with the handshake and later", text("early"), [][]byte{text("late")}, false, []string{"t:early", "t:late"}},
		{"a long one with the handshake", text(long), [][]byte{text("late")}, false, []string{"t:" + long, "t:late"}},
		{"half with the handshake", text("halves")[:5], [][]byte{text("halves")[5:]}, false, []string{"t:halves"}},
		{"half a header with the handshake", text("halves")[:1], [][]byte{text("halves")[1:]}, false, []string{"t:halves"}},
		{"byte by byte", nil, [][]byte{slices.Concat(text("one"), ping("p"), text("two"))}, true, []string{"t:one", "t:two"}},
		{
			"many in one segment", nil, [][]byte{slices.Concat(text("a"), text("b"), pong(""), text("c"), text(long), text("d"))},
			false, []string{"t:a", "t:b", "t:c", "t:" + long, "t:d"},
		},
		{
			"a segment that ends in the next header", nil,
			[][]byte{slices.Concat(text("a"), text("b")[:1]), text("b")[1:]}, false, []string{"t:a", "t:b"},
		},
		{
			"fragments with control frames between", nil, [][]byte{
				part(OpText, "fra", false), ping("in between"), pong("alone"), part(0, "gmen", false), part(0, "ts", true),
			}, false, []string{"t:fragments"},
		},
		{"longer than the buffer", nil, [][]byte{text(long), text("next")}, false, []string{"t:" + long, "t:next"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _, rec := connect(t, setup{early: tt.early})
			for _, b := range tt.writes {
				if !tt.single {
					p.send(b)
					continue
				}
				for i := range b {
					p.send(b[i : i+1])
				}
			}
			eventually(t, "all messages", func() bool { return len(rec.got()) >= len(tt.want) })
			if got := rec.got(); !slices.Equal(got, tt.want) {
				t.Errorf("got %.60q, want %.60q", got, tt.want)
			}
		})
	}
}

// Bytes that come between the upgrade and the first wait must not sleep until the next ones.
func TestBytesBeforeServe(t *testing.T) {
	p, s, rec := connect(t, setup{hold: true})
	p.send(text("before"))
	eventually(t, "the bytes are there", func() bool {
		return s.out.with(func(fd int) error {
			var b [1]byte
			n, _, err := syscall.Recvfrom(fd, b[:], syscall.MSG_PEEK)
			if err == nil && n == 0 {
				err = io.EOF
			}
			return err
		}) == nil
	})
	s.Serve()
	eventually(t, "the message", func() bool { return len(rec.got()) == 1 })
}

// Each message meets a reader in another state: reading, about to park, parked.
func TestNoWakeUpIsMissed(t *testing.T) {
	p, _, rec := connect(t, setup{})
	for i := range 2000 {
		p.send(text("m"))
		if i%3 == 0 { // otherwise right behind the one before
			eventually(t, "the message", func() bool { return len(rec.got()) == i+1 })
		}
	}
	eventually(t, "the last message", func() bool { return len(rec.got()) == 2000 })
}

func TestPingsAreAnswered(t *testing.T) {
	p, s, rec := connect(t, setup{})
	long := strings.Repeat("p", maxControlPayload)
	before := s.Heard()
	for _, payload := range []string{"", "x", long} {
		p.send(ping(payload))
		p.expect(opPong, payload)
	}
	p.send(ping("a"), ping("b"), text("m"), ping("c"))
	for _, payload := range []string{"a", "b", "c"} {
		p.expect(opPong, payload)
	}
	p.send(part(OpText, "be", false), ping("between"), part(0, "gin", true))
	p.expect(opPong, "between")
	eventually(t, "the message", func() bool { return slices.Equal(rec.got(), []string{"t:m", "t:begin"}) })
	if got := rec.count(&rec.frames); got != 9 {
		t.Errorf("%d frames were counted, want 9: seven pings and two messages", got)
	}
	if s.Heard().Before(before) {
		t.Error("the peer was not heard")
	}
}

func TestHalfAFrameThenSilenceEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent []byte
	}{
		{"half a header", text("hello")[:1]},
		{"half a payload", text("hello")[:8]},
		{"half a ping", ping("hello")[:8]},
		{"half a message", part(OpText, "hello", false)},
		{"half a close frame", clientFrame(finBit|byte(opClose), []byte("\x03\xe8bye"))[:7]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, _, rec := connect(t, setup{patience: 30 * time.Millisecond})
			p.send(text("whole"))
			eventually(t, "the whole message", func() bool { return len(rec.got()) == 1 })
			p.send(tt.sent)
			p.expectClose(protocol.ReasonNoPong.Code())
			p.Close()
			expectClosed(t, rec, protocol.ReasonNoPong)
		})
	}
}

// Silence between frames is no offence.
func TestSilenceBetweenFramesIsFine(t *testing.T) {
	p, _, rec := connect(t, setup{patience: 20 * time.Millisecond})
	p.send(text("a"))
	eventually(t, "the message", func() bool { return len(rec.got()) == 1 })
	select {
	case <-rec.over:
		t.Fatalf("ended: %v", rec.reasons())
	case <-time.After(100 * time.Millisecond): // five times the patience
	}
	p.send(text("b"))
	eventually(t, "the message", func() bool { return len(rec.got()) == 2 })
}

func TestBrokenInputIsRefused(t *testing.T) {
	const maxMessage = 1000
	unmasked := append([]byte{finBit | byte(OpText), 1}, 'x')
	tests := []struct {
		name   string
		sent   []byte
		reason protocol.Reason
	}{
		{"too big", text(strings.Repeat("x", maxMessage+1)), protocol.ReasonTooBig},
		{"a megabyte", text(strings.Repeat("x", 1<<20)), protocol.ReasonTooBig},
		{"too big in fragments", slices.Concat(part(OpText, strings.Repeat("x", 600), false),
			part(0, strings.Repeat("x", 600), true)), protocol.ReasonTooBig},
		{"invalid UTF-8", text("\xff\xfe"), protocol.ReasonBadUTF8},
		{"UTF-8 cut in the end", text("ok \xe2\x82"), protocol.ReasonBadUTF8},
		{"unmasked text", unmasked, protocol.ReasonProtocol},
		{"unmasked ping", []byte{finBit | byte(opPing), 0}, protocol.ReasonProtocol},
		{"RSV1", clientFrame(finBit|0x40|byte(OpText), []byte("x")), protocol.ReasonProtocol},
		{"RSV2", clientFrame(finBit|0x20|byte(OpText), []byte("x")), protocol.ReasonProtocol},
		{"RSV3 on a ping", clientFrame(finBit|0x10|byte(opPing), nil), protocol.ReasonProtocol},
		{"reserved data opcode", clientFrame(finBit|0x3, []byte("x")), protocol.ReasonProtocol},
		{"reserved control opcode", clientFrame(finBit|0xb, nil), protocol.ReasonProtocol},
		{"fragmented ping", clientFrame(byte(opPing), []byte("x")), protocol.ReasonProtocol},
		{"fragmented close", clientFrame(byte(opClose), nil), protocol.ReasonProtocol},
		{"oversized ping", clientFrame(finBit|byte(opPing), make([]byte, 126)), protocol.ReasonProtocol},
		{"oversized pong", clientFrame(finBit|byte(opPong), make([]byte, 70000)), protocol.ReasonProtocol},
		{"continuation of nothing", part(0, "x", true), protocol.ReasonProtocol},
		{"a message inside a message", slices.Concat(part(OpText, "x", false), text("y")), protocol.ReasonProtocol},
		{"close frame of one byte", clientFrame(finBit|byte(opClose), []byte{3}), protocol.ReasonProtocol},
		{"close frame with a reserved code", clientFrame(finBit|byte(opClose), []byte{3, 0xed}), protocol.ReasonProtocol},
		{"negative length", append([]byte{finBit | byte(OpText), maskBit | 127, 0x80, 0, 0, 0, 0, 0, 0, 1}, maskKey...),
			protocol.ReasonProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, s, rec := connect(t, setup{o: Options{MaxMessage: maxMessage}})
			p.send(text("first"))
			eventually(t, "the first message", func() bool { return len(rec.got()) == 1 })
			p.send(tt.sent, text("ignored"))
			eventually(t, "the end", func() bool { return s.EndedFor(time.Now()) > 0 }) // a reset would be there too
			p.expectClose(tt.reason.Code())
			p.Close()
			expectClosed(t, rec, tt.reason)
			if got := rec.got(); len(got) != 1 {
				t.Errorf("messages %.40q, want the first one only", got)
			}
			if n := rec.count(&rec.closing); n != 1 {
				t.Errorf("told %d times that the socket closes", n)
			}
		})
	}
}

func TestLargestMessage(t *testing.T) {
	p, _, rec := connect(t, setup{o: Options{MaxMessage: 1000}})
	largest := strings.Repeat("x", 1000)
	p.send(text(largest), part(OpText, largest[:500], false), part(0, largest[500:], true))
	eventually(t, "both messages", func() bool { return slices.Equal(rec.got(), []string{"t:" + largest, "t:" + largest}) })
}

func TestPeerCloses(t *testing.T) {
	p, _, rec := connect(t, setup{})
	p.send(clientFrame(finBit|byte(opClose), []byte("\x03\xe8bye")))
	p.expectClose(1000)
	expectClosed(t, rec, protocol.ReasonPeerClosed)
	if n := rec.count(&rec.closing); n != 0 {
		t.Errorf("told %d times that the socket closes, which the peer has done", n)
	}
}

func TestPeerVanishes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		vanish func(p *peer)
	}{
		{"reset", func(p *peer) { _ = p.Conn.(*net.TCPConn).SetLinger(0); p.Close() }},
		{"end of stream", func(p *peer) { p.Close() }},
		{"end in the middle of a frame", func(p *peer) { p.send(text("hello")[:4]); p.Close() }},
		{"end in the middle of a message", func(p *peer) { p.send(part(OpText, "x", false)); p.Close() }},
		{"end in the middle of a message's second frame", func(p *peer) { p.send(part(OpText, "x", false), part(0, "yz", true)[:7]); p.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, s, rec := connect(t, setup{})
			tt.vanish(p)
			expectClosed(t, rec, protocol.ReasonPeerGone)
			if got := rec.got(); len(got) != 0 {
				t.Errorf("was given %q, the half of a message", got)
			}
			if err := s.Send(Frame(OpText, nil)); !errors.Is(err, ErrClosed) {
				t.Errorf("Send = %v, want ErrClosed", err)
			}
		})
	}
}

// A peer that is in the middle of a long message cannot answer a ping.
func TestWhoIsSendingIsHeard(t *testing.T) {
	p, s, rec := connect(t, setup{})
	message := text(strings.Repeat("x", 5000))
	for half := range slices.Chunk(message, len(message)/5+1) {
		before := s.Heard()
		eventually(t, "a millisecond is over", func() bool { return clock.Millis(time.Now()) > clock.Millis(before) }) // as which it is kept
		p.send(half)
		eventually(t, "it is heard", func() bool { return s.Heard().After(before) })
	}
	eventually(t, "the message", func() bool { return len(rec.got()) == 1 })
}

// noDescriptor hides the descriptor, as TLS does.
type noDescriptor struct{ net.Conn }

func TestConnectionsWithoutADescriptor(t *testing.T) {
	p, s, rec := connect(t, setup{wrap: func(c net.Conn) net.Conn { return noDescriptor{c} }})
	if s.out.fd != noFD {
		t.Fatal("the descriptor is not hidden")
	}
	p.send(text("a"), ping("x"), text("b"))
	p.expect(opPong, "x")
	eventually(t, "the messages", func() bool { return slices.Equal(rec.got(), []string{"t:a", "t:b"}) })
	for range 100 {
		if err := s.Send(Frame(OpText, []byte("hello"))); err != nil {
			t.Fatal(err)
		}
	}
	s.End(protocol.ReasonDraining)
	for range 100 {
		p.expect(OpText, "hello")
	}
	f, err := p.next()
	if err != nil || f.head != finBit|byte(opClose) {
		t.Fatalf("got %x %v, want the close frame", f.head, err)
	}
	p.Close()
	expectClosed(t, rec, protocol.ReasonDraining)
}

var _ syscall.Conn = (*net.TCPConn)(nil) // what Parker and tryWrite rely on

// Empty fragments carry nothing that a limit on messages would count, but they cost time.
func TestEndlessFragmentsAreCutOff(t *testing.T) {
	p, _, rec := connect(t, setup{})
	p.send(part(OpText, "", false))
	empty := part(0, "", false)
	flood := make([]byte, 0, 4096*len(empty))
	for range 4096 {
		flood = append(flood, empty...)
	}
	go func() {
		for {
			if _, err := p.Conn.Write(flood); err != nil {
				return
			}
		}
	}()
	p.expectClose(protocol.ReasonTooMuchInput.Code())
	_ = p.Conn.Close() // ends the flood
	expectClosed(t, rec, protocol.ReasonTooMuchInput)
}
