package socket

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/imserver/internal/tcp/tcptest"
	"github.com/imtier/imtier/pkg/protocol"
)

// Readers go from socket to socket: each must be given what its own peer sent and nothing else, also after others have left
// their readers in any state.
func TestReadersAreShared(t *testing.T) {
	const peers, messages = 30, 60
	var wg sync.WaitGroup
	for i := range peers {
		rec := &recorder{}
		p, s, _ := connect(t, setup{handler: rec, hold: true})
		rec.message = func(_ bool, data []byte) {
			if string(data) == "end" {
				s.End(protocol.ReasonDraining)
			}
		}
		s.Serve()
		wg.Go(func() {
			var want []string
			for j := range messages {
				body := fmt.Sprintf("%d of %d", j, i)
				b := text(body)
				switch rand.IntN(4) {
				case 0:
					b = slices.Concat(part(OpText, body[:2], false), ping("within"), part(0, body[2:], true))
				case 1:
					b = slices.Concat(pong("before"), b)
				}
				want = append(want, "t:"+body)
				cut := rand.IntN(len(b))
				p.send(b[:cut])
				runtime.Gosched()
				p.send(b[cut:])
			}
			eventually(t, "all messages", func() bool { return len(rec.got()) >= messages })
			switch i % 4 { // leave the reader in the middle of something
			case 0:
				p.send(part(OpText, "half", false), part(OpText, "and another", false))
			case 1:
				p.send(text("cut off")[:7])
				_ = p.Conn.Close()
			case 2:
				p.send(clientFrame(finBit|byte(opClose), []byte("\x03\xe8")), text("ignored"))
			case 3:
				want = append(want, "t:end")
				p.send(text("end"), text("ignored"), part(OpText, "ignored", false))
			}
			if i%4 != 1 {
				for f, err := p.next(); err == nil; f, err = p.next() {
					if f.head != finBit|byte(opPong) && f.head != finBit|byte(opClose) {
						t.Errorf("peer %d got a frame %x %q", i, f.head, f.payload)
					}
				}
				_ = p.Conn.Close()
			}
			ends := []protocol.Reason{protocol.ReasonProtocol, protocol.ReasonPeerGone, protocol.ReasonPeerClosed, protocol.ReasonDraining}
			expectClosed(t, rec, ends[i%4])
			if got := rec.got(); !slices.Equal(got, want) {
				t.Errorf("peer %d: got %d messages: %.200q", i, len(got), got)
			}
		})
	}
	wg.Wait()
}

// A control frame within a message starts a timer of coder/websocket, which may close the reader when another socket has it.
func TestAReaderThatMayCloseIsNotUsedAgain(t *testing.T) {
	_, s, _ := connect(t, setup{})
	r := takeReader(s)
	r.onPong(t.Context(), nil)
	r.release(true)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if r.br.Buffered() > 0 || s.out.closed {
		t.Error("a late close has closed the socket")
	}
	for range 100 {
		if next := takeReader(s); next == r {
			t.Fatal("used again")
		}
	}
}

// What a peer has begun it must complete in time, not only go on with.
func TestAFrameByDrops(t *testing.T) {
	p, s, rec := connect(t, setup{patience: 200 * time.Millisecond})
	b := text("a message that takes longer than it may, whatever comes in between")
	for i := range b {
		if _, err := p.Write(b[i : i+1]); err != nil || s.EndedFor(time.Now()) > 0 {
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	_ = p.Conn.Close()
	expectClosed(t, rec, protocol.ReasonNoPong)
}

// The deadline of a frame that came in two parts ends with it, also when the socket cannot be parked any more.
func TestSilenceAfterASlowFrame(t *testing.T) {
	parker := tcptest.StartParker(t)
	p, s, rec := connect(t, setup{o: Options{Parker: parker}, alone: true, patience: time.Second})
	for i := range 2 {
		b := text("slow")
		p.send(b[:3])
		<-time.After(10 * time.Millisecond) // it is being read
		if i == 1 {
			parker.Close()
		}
		p.send(b[3:])
		eventually(t, "the message", func() bool { return len(rec.got()) == i+1 })
		<-time.After(1100 * time.Millisecond)
	}
	if s.EndedFor(time.Now()) > 0 {
		t.Errorf("ended: %v", rec.reasons())
	}
}
