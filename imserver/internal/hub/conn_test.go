package hub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/imtier/imtier/pkg/protocol"
)

func TestHelloComesFirst(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	if f := k.frames()[0]; f.Type != "hello" {
		t.Errorf("the first frame is %s", f.Raw)
	}
}

func TestBinaryFrames(t *testing.T) {
	r := newRig(t)
	v1, raw := r.connect("ann", true), r.connect("bob", false)
	for _, k := range []*client{v1, raw} {
		if err := k.ws.Write(context.Background(), websocket.MessageBinary, []byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	v1.expectClose(4503)
	raw.send("what a raw client sends is ignored")
	r.publish(protocol.InboxOf("bob"), message("a"))
	raw.expect("", `"a"`)
}

func TestTooMuchInput(t *testing.T) {
	few := Input{Frames: 50, Bytes: 1 << 30}
	little := Input{Frames: 1 << 20, Bytes: 1000, MaxMessage: 5000}
	for _, c := range []struct {
		input Input
		v1    bool
		text  string
		limit Limit
	}{
		{few, true, `{"type":"x"}`, TooManyFrames},
		{few, false, `{"type":"x"}`, TooManyFrames},
		{little, true, `{"type":"x","pad":"` + strings.Repeat("x", 1000) + `"}`, TooManyBytes},
		{little, false, strings.Repeat("x", 1000), TooManyBytes},
	} {
		r := newRig(t, func(o *Options) { o.Input = c.input })
		k := r.connect("ann", c.v1)
		for range 50*inputBurst + 2000 {
			if k.ws.Write(context.Background(), websocket.MessageText, []byte(c.text)) != nil {
				break
			}
		}
		k.expectClose(4504)
		r.expectReason(k.conn.ID, protocol.ReasonTooMuchInput)
		r.mu.Lock()
		if !slices.Equal(r.limited, []Limit{c.limit}) {
			t.Errorf("%+v: counted %v", c.input, r.limited)
		}
		r.mu.Unlock()
	}
}

func TestMeter(t *testing.T) {
	in := Input{Frames: 50, Bytes: 1000, MaxMessage: 3000}
	now := time.UnixMilli(1_000_000)
	var m meter
	for i := range inputBurst * in.Frames {
		if m.take(in, 0, now) != WithinLimits {
			t.Fatalf("frame %d is too much", i)
		}
	}
	if m.take(in, 0, now) != TooManyFrames {
		t.Error("one more than the burst is taken")
	}
	m = meter{}
	for i := range 10 * in.Frames {
		if now = now.Add(time.Second / time.Duration(in.Frames)); m.take(in, in.Bytes/in.Frames, now) != WithinLimits {
			t.Fatalf("frame %d at the sustained rates is too much", i)
		}
	}
	if m = (meter{}); m.take(in, inputBurst*in.Bytes+in.MaxMessage, now) != WithinLimits || m.take(in, 1, now) != TooManyBytes {
		t.Error("the burst of bytes and one large message is not what passes")
	}
	m = meter{}
	for range 2 {
		if m.take(Input{}, 1<<30, now) != WithinLimits {
			t.Error("no limits limit")
		}
	}
	if now = now.Add(-time.Hour); m.take(in, 0, now) == TooManyFrames {
		t.Error("a clock that was set back makes one frame too many")
	}
}

func TestPings(t *testing.T) {
	r := newRig(t, func(o *Options) { o.PingInterval = time.Millisecond })
	alive := r.connect("ann", true) // its library answers while it reads
	eventually(t, "a ping", func() bool { return alive.conn.pinged.Load() > 0 })
	first := alive.conn.pinged.Load()
	eventually(t, "another, so the first was answered", func() bool { return alive.conn.pinged.Load() > first })
	r.publish(ann, message("a"))
	alive.expect("inbox", "a")

	r = newRig(t, func(o *Options) { o.PingInterval, o.PongTimeout = time.Millisecond, 500*time.Millisecond })
	dead := r.dial(r.admit(Info{ClientID: "bob", ID: "dead"}), true) // reads nothing
	dead.send(`{"type":"start"}`)
	r.waitEnded(dead)
	r.expectReason("dead", protocol.ReasonNoPong)
	if d := dead.conn.sock.EndedFor(time.Now()); d >= closeGrace {
		t.Errorf("a dead peer was waited for, for %v", d)
	}
	dead.read().expectClose(4002) // it was sent all the same
}

func (r *rig) waitEnded(k *client) {
	r.t.Helper()
	eventually(r.t, "the end", func() bool { return k.conn.sock.EndedFor(time.Now()) > 0 })
}

// A peer that does not answer the close frame is cut off.
func TestCloseWithoutAnAnswer(t *testing.T) {
	r := newRig(t)
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "mute"}), true)
	k.conn.End(protocol.ReasonForcedOffline)
	r.expectReason("mute", protocol.ReasonForcedOffline)
	if n := r.hub.Len(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// A connection that is ended before it has a socket gets its close frame when it opens.
func TestEndBeforeOpen(t *testing.T) {
	r := newRig(t)
	c := r.admit(Info{ClientID: "ann", ID: "early"})
	c.End(protocol.ReasonReplaced)
	c.End(protocol.ReasonForcedOffline)
	r.dial(c, true).read().expectClose(4501)
	r.expectReason("early", protocol.ReasonReplaced)
}

func TestDrain(t *testing.T) {
	r := newRig(t)
	const clients = 20
	var ks []*client
	for i := range clients {
		ks = append(ks, r.connect(fmt.Sprint("client", i), i%2 == 0))
	}
	late := r.admit(Info{ClientID: "late", ID: "late"}) // between registration and socket
	mute := r.dial(r.admit(Info{ClientID: "mute", ID: "mute"}), true)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	begin := time.Now()
	const spread = 200 * time.Millisecond
	wg.Go(func() { r.hub.Drain(ctx, Handover{Spread: spread}) })
	for _, k := range ks {
		k.expectClose(4000)
	}
	if took := time.Since(begin); took < spread/2 {
		t.Errorf("all were closed within %v, want them spread over %v", took, spread)
	}
	r.dial(late, true).read().expectClose(4000)
	r.dial(r.admit(Info{ClientID: "later", ID: "later"}), true).read().expectClose(4000)
	wg.Wait()
	r.expectReason("mute", protocol.ReasonDraining)
	_ = mute
	if s := r.hub.Stats(); s.Connections != 0 || s.Clients != 0 || s.Streams != 1 {
		t.Errorf("left: %+v", s)
	}
}

// The end of the time cuts off who does not answer.
func TestDrainWithoutTime(t *testing.T) {
	r := newRig(t)
	r.dial(r.admit(Info{ClientID: "mute", ID: "mute"}), true)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.hub.Drain(ctx, Handover{Spread: time.Hour})
	r.expectReason("mute", protocol.ReasonDraining)
}

// When Drain returns, everybody has been told of every end: they sign off with Redis what they were told.
func TestDrainWaitsForTheReports(t *testing.T) {
	for range 20 {
		var reported sync.WaitGroup
		release := make(chan struct{})
		r := newRig(t, func(o *Options) {
			inner := o.Closed
			o.Closed = func(c *Conn, why protocol.Reason) { <-release; inner(c, why); reported.Done() }
		})
		reported.Add(2)
		r.connect("ann", true)
		r.connect("bob", true)
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			r.hub.Drain(ctx, Handover{})
		}()
		eventually(t, "both are being reported", func() bool { return r.hub.Len() == 0 })
		select {
		case <-drained:
			t.Error("Drain returned before the ends were reported")
		default:
		}
		close(release)
		<-drained
		reported.Wait()
	}
}

func TestNothingIsLeftWhenClientsAreGone(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		k := r.connect(fmt.Sprint("client", i), true, "chess", fmt.Sprint("group", i))
		k.ws.CloseNow()
	}
	eventually(t, "nothing is left", func() bool {
		s := r.hub.Stats()
		return s.Connections == 0 && s.Clients == 0 && s.Groups == 0 && s.Streams == 1 && s.CatchingUp == 0
	})
}
