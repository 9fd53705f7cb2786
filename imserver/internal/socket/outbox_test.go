package socket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// numbered is a frame of a size that carries who sent it and its place.
func numbered(sender, i, size int) []byte {
	payload := bytes.Repeat([]byte{byte(i)}, max(size, 8))
	binary.BigEndian.PutUint32(payload, uint32(sender))
	binary.BigEndian.PutUint32(payload[4:], uint32(i))
	return Frame(OpBinary, payload)
}

// fill sends numbered frames to a peer that does not read, until one is refused.
func fill(t *testing.T, s *Socket, size int) (taken int) {
	t.Helper()
	for ; taken < 100_000; taken++ {
		switch err := s.Send(numbered(0, taken, size)); {
		case errors.Is(err, ErrFull):
			return taken
		case err != nil:
			t.Fatal(err)
		}
	}
	t.Fatal("never full")
	return 0
}

// expectNumbered reads frames of one sender and checks that they come whole and in order.
func expectNumbered(t *testing.T, p *peer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		f, err := p.next()
		if err != nil {
			t.Fatalf("frame %d of %d: %v", i, to, err)
		}
		if f.head != finBit|byte(OpBinary) || len(f.payload) < 8 || binary.BigEndian.Uint32(f.payload[4:]) != uint32(i) {
			t.Fatalf("frame %d: got %x % x…", i, f.head, f.payload[:min(8, len(f.payload))])
		}
		for _, b := range f.payload[8:] {
			if b != byte(i) {
				t.Fatalf("frame %d holds bytes of another", i)
			}
		}
	}
}

var slow = setup{o: Options{OutboxCap: 32 << 10}, sndbuf: 4096, rcvbuf: 4096}

func TestAPeerThatDoesNotRead(t *testing.T) {
	p, s, rec := connect(t, slow)
	const size = 3000
	begin := time.Now()
	taken := fill(t, s, size)
	if took := time.Since(begin); took > patience/2 {
		t.Errorf("filling took %v: something waited for the peer", took)
	}
	eventually(t, "as much is kept as the cap allows", func() bool {
		q := s.Queued()
		if q > slow.o.OutboxCap {
			t.Fatalf("%d bytes are kept, the cap is %d", q, slow.o.OutboxCap)
		}
		for q < slow.o.OutboxCap-2*size && s.Send(numbered(0, taken, size)) == nil { // the kernel has taken some more
			taken++
		}
		return q >= slow.o.OutboxCap-2*size
	})
	eventually(t, "one flusher", func() bool { return running("socket.(*outbox).flush") == 1 })
	if rec.count(&rec.rooms) != 0 {
		t.Error("Room was called while nothing was read")
	}

	expectNumbered(t, p, 0, taken)
	eventually(t, "Room, and the end of the flusher", func() bool {
		return rec.count(&rec.rooms) == 1 && running("socket.(*outbox).flush") == 0
	})
	if q := s.Queued(); q != 0 {
		t.Errorf("%d bytes are kept after everything was read", q)
	}
	for i := range 3 {
		if err := s.Send(numbered(0, taken+i, size)); err != nil {
			t.Fatal(err)
		}
	}
	expectNumbered(t, p, taken, taken+3)
	if got := rec.count(&rec.rooms); got != 1 {
		t.Errorf("Room was called %d times, want once: nothing else was refused", got)
	}
}

// Every refusal is followed by Room, whatever the timing: the sender here continues only when told.
func TestRoomFollowsEveryRefusal(t *testing.T) {
	again := make(chan struct{}, 1)
	su := slow
	su.handler = &recorder{room: func() {
		select {
		case again <- struct{}{}:
		default:
		}
	}}
	p, s, rec := connect(t, su)
	const frames = 3000
	go func() {
		for i := 0; i < frames; {
			switch err := s.Send(numbered(0, i, 100+i%2000)); {
			case err == nil:
				i++
			case errors.Is(err, ErrFull):
				select {
				case <-again:
				case <-rec.over:
					return
				}
			default:
				return
			}
		}
	}()
	expectNumbered(t, p, 0, frames)
}

// A frame larger than the cap passes when nothing is kept: else it never could.
func TestAFrameLargerThanTheCap(t *testing.T) {
	p, s, _ := connect(t, slow)
	if err := s.Send(numbered(0, 0, 10*slow.o.OutboxCap)); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(numbered(0, 1, 10)); !errors.Is(err, ErrFull) {
		t.Errorf("Send = %v, want ErrFull", err)
	}
	s.Ping() // passes the cap
	expectNumbered(t, p, 0, 1)
	p.expect(opPing, "")
}

// The deadline of a flush must not outlive it.
func TestADeadlineEndsWithItsFlush(t *testing.T) {
	p, s, _ := connect(t, slow)
	taken := fill(t, s, 3000)
	expectNumbered(t, p, 0, taken)
	eventually(t, "the flusher is gone", func() bool { return running("socket.(*outbox).flush") == 0 })
	deadline := &deadlines{Conn: s.out.Conn}
	s.out.mu.Lock()
	s.out.Conn = deadline
	s.out.mu.Unlock()
	taken = fill(t, s, 3000)
	expectNumbered(t, p, 0, taken)
	eventually(t, "the flusher is gone", func() bool { return running("socket.(*outbox).flush") == 0 })
	if deadline.set.Load() == 0 {
		t.Error("the flusher wrote without a deadline")
	}
	if last := deadline.last.Load(); last == nil || !last.IsZero() {
		t.Errorf("the write deadline was left at %v", last)
	}
}

// A large frame may take long as long as the peer reads.
func TestEachPieceHasItsOwnDeadline(t *testing.T) {
	p, s, _ := connect(t, slow)
	deadline := &deadlines{Conn: s.out.Conn}
	s.out.mu.Lock()
	s.out.Conn = deadline
	s.out.mu.Unlock()
	const size = 4 << 20
	if err := s.Send(numbered(0, 0, size)); err != nil {
		t.Fatal(err)
	}
	kept := s.Queued()
	expectNumbered(t, p, 0, 1)
	if n, least := int(deadline.set.Load()), kept/flushPiece; n < least || least < 10 {
		t.Errorf("%d deadlines for %d bytes that were kept", n, kept)
	}
}

// deadlines writes down what is set.
type deadlines struct {
	net.Conn
	set  atomic.Int32
	last atomic.Pointer[time.Time]
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.set.Add(1)
	d.last.Store(&at)
	return d.Conn.SetWriteDeadline(at)
}

func TestPongsObeyTheCap(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first []byte
	}{
		{"between messages", nil},
		{"inside a message", part(OpText, "x", false)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The real thing would not do: a kernel whose receive buffer is full may drop segments with the
			// acknowledgements in them, and the pings stand still for seconds.
			su := setup{wrap: func(c net.Conn) net.Conn { return &deafPeer{Conn: c, ended: make(chan struct{})} }}
			su.o.OutboxCap = slow.o.OutboxCap
			su.o.MaxMessage = 1 << 20 // all pings fit into what one message may take with its frames
			p, s, rec := connect(t, su)
			p.send(tt.first)
			load := ping(string(make([]byte, maxControlPayload)))
			const pings = 1000 // four times the cap
			p.send(bytes.Repeat(load, pings))
			eventually(t, "all pings are read", func() bool { return rec.count(&rec.frames) == pings })
			frame := len(Frame(opPong, make([]byte, maxControlPayload)))
			if q, limit := s.Queued(), slow.o.OutboxCap; q > limit || q < limit-frame {
				t.Errorf("%d bytes are kept, the cap is %d", q, limit)
			}
		})
	}
}

// deafPeer is a connection whose peer reads the answer to the handshake and nothing after it.
type deafPeer struct {
	net.Conn
	answered atomic.Bool
	once     sync.Once
	ended    chan struct{}
}

func (d *deafPeer) Write(p []byte) (int, error) {
	if d.answered.CompareAndSwap(false, true) {
		return d.Conn.Write(p)
	}
	<-d.ended
	return 0, net.ErrClosed
}

func (d *deafPeer) Close() error {
	d.once.Do(func() { close(d.ended) })
	return d.Conn.Close()
}

func TestEndSendsTheCloseFrameAfterEverythingKept(t *testing.T) {
	p, s, rec := connect(t, slow)
	taken := fill(t, s, 2000)
	s.End(protocol.ReasonForcedOffline)
	if err := s.Send(numbered(0, taken, 10)); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after End = %v, want ErrClosed", err)
	}
	if s.EndedFor(time.Now()) == 0 {
		t.Error("EndedFor is 0 after End")
	}
	expectNumbered(t, p, 0, taken)
	p.expectClose(protocol.ReasonForcedOffline.Code())
	if n := len(rec.reasons()); n != 0 {
		t.Error("Closed was called before the peer had answered")
	}
	p.send(clientFrame(finBit|byte(opClose), []byte{0x11, 0x94}))
	p.Close()
	expectClosed(t, rec, protocol.ReasonForcedOffline)
}

func TestKillDoesNotWaitForThePeer(t *testing.T) {
	_, s, rec := connect(t, slow)
	fill(t, s, 2000)
	s.End(protocol.ReasonTooSlow)
	s.Kill()
	expectClosed(t, rec, protocol.ReasonTooSlow)
	eventually(t, "the flusher has returned", func() bool { return running("socket.(*outbox).flush") == 0 })
}

func TestKillBeforeServe(t *testing.T) {
	_, s, rec := connect(t, setup{hold: true})
	s.Kill()
	s.Serve()
	expectClosed(t, rec, protocol.ReasonPeerGone)
}

// The first reason counts, and it is told once.
func TestEndFromEverywhere(t *testing.T) {
	for range 20 {
		p, s, rec := connect(t, setup{})
		var first atomic.Int32
		reasons := protocol.Reasons()
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range 50 {
			wg.Go(func() {
				<-start
				s.End(reasons[i%len(reasons)])
				first.CompareAndSwap(0, int32(s.reason))
				if i%10 == 0 {
					s.Kill()
				}
			})
		}
		close(start)
		wg.Wait()
		p.Close()
		expectClosed(t, rec, protocol.Reason(first.Load()))
	}
}

// Frames of many senders, pongs and pings must not be mixed: the peer parses each, and each sender's are in order.
func TestConcurrentSendersWriteWholeFrames(t *testing.T) {
	const senders, each = 8, 400
	p, s, _ := connect(t, setup{o: Options{OutboxCap: 1 << 30}, sndbuf: 8192})
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			for i := range each {
				if err := s.Send(numbered(sender, i, 8+rand.IntN(3000))); err != nil {
					t.Error(err)
					return
				}
				if i%50 == 0 {
					s.Ping()
				}
			}
		})
	}
	wg.Go(func() {
		load := ping("concurrent")
		split := append(part(OpText, "a", false), append(ping("concurrent"), part(0, "b", true)...)...)
		for i := range each / 2 {
			b := load
			if i%2 == 0 {
				b = split
			}
			if _, err := p.Write(b); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var next [senders]uint32
	pings, pongs, data := 0, 0, 0
	for data < senders*each || pongs < each/2 || pings < senders*each/50 {
		f, err := p.next()
		if err != nil {
			t.Fatalf("after %d frames, %d pongs, %d pings: %v", data, pongs, pings, err)
		}
		switch Opcode(f.head & 0x0f) {
		case opPing:
			pings++
		case opPong:
			pongs++
			if string(f.payload) != "concurrent" {
				t.Fatalf("pong %q", f.payload)
			}
		case OpBinary:
			data++
			sender, i := binary.BigEndian.Uint32(f.payload), binary.BigEndian.Uint32(f.payload[4:])
			if next[sender] != i {
				t.Fatalf("sender %d: frame %d, want %d", sender, i, next[sender])
			}
			next[sender]++
		default:
			t.Fatalf("frame %x", f.head)
		}
	}
	wg.Wait()
}

// A write that fails ends the connection, and the kept frames are let go of.
func TestResetWhileFlushing(t *testing.T) {
	p, s, rec := connect(t, slow)
	fill(t, s, 2000)
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	p.Close()
	expectClosed(t, rec, protocol.ReasonPeerGone)
	if err := s.Send(Frame(OpText, nil)); !errors.Is(err, ErrClosed) {
		t.Errorf("Send = %v, want ErrClosed", err)
	}
}

var _ io.Writer = (*outbox)(nil)
