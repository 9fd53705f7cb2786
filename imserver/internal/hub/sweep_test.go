package hub

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/imtier/imtier/imserver/internal/clock"
	"github.com/imtier/imtier/pkg/protocol"
)

// Whoever does not start, or does not answer a close frame, is not let off until a ping is due.
func TestAwaitedPeersAreLookedAtInEveryRound(t *testing.T) {
	const startTimeout = 500 * time.Millisecond
	for name, tc := range map[string]struct {
		v1     bool
		begin  func(*client)
		reason protocol.Reason
	}{
		"who does not start": {true, func(*client) {}, protocol.ReasonStateLost},
		"who sends no UTF-8": {false, func(k *client) { k.send("\xff") }, protocol.ReasonBadUTF8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) { o.PingInterval, o.StartTimeout = time.Hour, startTimeout })
			for i := range 40 {
				r.connect(fmt.Sprint("quiet", i), false)
			}
			// Two rounds until the start is missed, then the grace, and a round. A busy machine may take longer, but not always.
			const late, tries, soon = 6, 4, closeGrace + 6*sweepInterval
			quickest := time.Hour
			for try := 0; try < tries && quickest > soon; try++ {
				begin := time.Now()
				for i := range late {
					tc.begin(r.dial(r.admit(Info{ClientID: "late", ID: fmt.Sprintf("late%d-%d", try, i)}), tc.v1)) // which does not read
				}
				for i := range late {
					r.expectReason(fmt.Sprintf("late%d-%d", try, i), tc.reason)
				}
				quickest = min(quickest, time.Since(begin))
			}
			if quickest > soon {
				t.Errorf("the last was gone after %v", quickest)
			}
		})
	}
}

// Pings of connections that came together, and their answers, would hold up everybody's messages.
func TestPingsGoOutByAndBy(t *testing.T) {
	r := newRig(t, func(o *Options) { o.PingInterval = 3 * time.Second })
	const all = 2 * fewPings * sweepSteps
	clients := make([]*client, all)
	for i := range clients {
		clients[i] = r.connect(fmt.Sprint("quiet", i), false)
	}
	atOnce := make(map[int64]int) // by the step's time
	for _, k := range clients {
		eventually(t, "a ping", func() bool { return k.conn.pinged.Load() > 0 })
		atOnce[k.conn.pinged.Load()]++
	}
	for at, n := range atOnce {
		if n > 2*all/sweepSteps {
			t.Errorf("%d of %d pings went out at once (%d)", n, all, at)
		}
	}
}

// Letting somebody in may take a while, and the time of day when that began may be corrected meanwhile.
func TestTheTimeToStartBeginsWithTheSocket(t *testing.T) {
	r := newRig(t)
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "late", Since: time.Now().Add(-time.Hour).UnixMilli()}), true).read()
	s := sweeper{hub: r.hub}
	if s.check(k.conn, time.Now()); k.conn.Over() {
		t.Error("ended at once")
	}
	s.check(k.conn, time.Now().Add(r.hub.opts.StartTimeout+time.Second))
	k.expectClose(protocol.ReasonStateLost.Code())
}

func TestWhoIsNotDueIsNotLookedAt(t *testing.T) {
	h := &Hub{opts: Options{PingInterval: time.Minute}}
	now := time.Now()
	c := &Conn{hub: h} // without a socket: to look at it panics
	c.ready.Store(true)
	h.roster.add(c)
	h.roster.take(nil, now)
	h.roster.put(c, momentOf(now.Add(10*time.Second)))
	s := sweeper{hub: h}
	s.round(t.Context(), now)
	s.round(t.Context(), now.Add(8*time.Second))
	defer func() {
		if recover() == nil {
			t.Error("nobody was looked at who is due")
		}
	}()
	s.round(t.Context(), now.Add(11*time.Second))
}

// A ping comes in the last quarter of the interval, and is not missed because nobody looks before.
func TestPingsComeInTime(t *testing.T) {
	const interval = 6 * time.Second
	r := newRig(t, func(o *Options) { o.PingInterval = interval })
	clients := make([]*client, 50)
	for i := range clients {
		clients[i] = r.dial(r.admit(Info{ClientID: "quiet", ID: fmt.Sprint("quiet", i)}), false) // and answers no ping
	}
	for _, k := range clients {
		heard := k.conn.sock.Heard()
		eventually(t, "a ping", func() bool { return k.conn.pinged.Load() > 0 })
		quiet := clock.Time(k.conn.pinged.Load()).Sub(heard)
		if quiet < r.hub.pingFrom() || quiet > 2*interval { // on a busy machine later than it should be
			t.Errorf("pinged after %v, want %v to %v", quiet, r.hub.pingFrom(), interval)
		}
	}
}

// Whoever was heard since is pinged as long after that.
func TestWhoIsHeardIsPingedLater(t *testing.T) {
	r := newRig(t, func(o *Options) { o.PingInterval = time.Minute })
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "ann"}), false)
	s := sweeper{hub: r.hub}
	heard := k.conn.sock.Heard()
	if due := s.check(k.conn, heard.Add(r.hub.pingFrom()-time.Second)); due < momentOf(heard.Add(r.hub.pingFrom())) {
		t.Errorf("due at %d, no ping can be before %d", due, momentOf(heard.Add(r.hub.pingFrom())))
	}
	if k.conn.pinged.Load() > 0 {
		t.Error("pinged at once")
	}
	if due := s.check(k.conn, heard.Add(r.hub.pingFrom())); due != nextRound || k.conn.pinged.Load() == 0 {
		t.Errorf("due at %d, pinged at %d", due, k.conn.pinged.Load())
	}
}

// Pings, and their answers, do not hold up a broadcast unless they have to come now.
func TestPingsWaitForMessages(t *testing.T) {
	r := newRig(t, func(o *Options) { o.PingInterval = time.Minute })
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "ann"}), false)
	s, shard := sweeper{hub: r.hub}, r.hub.shards[1]
	shard.mu.Lock()
	shard.poke()
	eventually(t, "busy", r.hub.busy)
	heard := k.conn.sock.Heard()
	for quiet := r.hub.pingFrom(); quiet < r.hub.pingAfter(); quiet += time.Second {
		if due := s.check(k.conn, heard.Add(quiet)); due < momentOf(heard.Add(quiet)) || due > momentOf(heard.Add(r.hub.pingAfter())) {
			t.Errorf("after %v: due at %d, at the latest %d", quiet, due, momentOf(heard.Add(r.hub.pingAfter())))
		}
	}
	if k.conn.pinged.Load() > 0 {
		t.Error("pinged at once")
	}
	if s.check(k.conn, heard.Add(r.hub.pingAfter())); k.conn.pinged.Load() == 0 {
		t.Error("pinged too late")
	}
	shard.mu.Unlock()
	eventually(t, "not busy", func() bool { return !r.hub.busy() })
}

// A request that is not answered is refused in time, however long ago its client was heard.
func TestWhoAsksIsDue(t *testing.T) {
	h := &Hub{opts: Options{
		Input:    Input{MaxMessage: 100},
		Requests: Requests{Ask: func(*Conn, string, json.RawMessage) bool { return true }},
	}}
	c := &Conn{hub: h, Info: Info{MayRequest: true}}
	h.roster.add(c)
	h.roster.take(nil, time.Now())
	f, err := protocol.DecodeClientFrame([]byte(`{"type":"request","id":"1","data":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	c.onRequest(f)
	if len(h.roster.take(nil, time.Now())) != 1 {
		t.Error("not due")
	}
}

// Who asks is looked at in every round until there is an answer, and refused when the time for it is over.
func TestUnansweredRequestsAreRefused(t *testing.T) {
	var codes []string
	r := newRig(t, func(o *Options) {
		o.PingInterval = time.Hour
		o.Requests = Requests{
			Ask:      func(*Conn, string, json.RawMessage) bool { return true },
			Answered: func(code string) { codes = append(codes, code) },
		}
	})
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "ann", MayRequest: true}), false)
	k.conn.mu.Lock()
	k.conn.requests = &requests{open: map[string]time.Time{"1": time.Now().Add(protocol.RequestTimeout)}}
	k.conn.mu.Unlock()
	s := sweeper{hub: r.hub}
	if due := s.check(k.conn, time.Now()); due != nextRound || len(codes) > 0 {
		t.Errorf("due at %d, refused %q", due, codes)
	}
	late := time.Now().Add(protocol.RequestTimeout + time.Second)
	if s.check(k.conn, late); len(codes) != 1 || codes[0] != protocol.RefusedTimeout {
		t.Errorf("refused %q", codes)
	}
}

func TestPingsAreDueByChance(t *testing.T) {
	h := &Hub{opts: Options{PingInterval: 25 * time.Second}}
	heard := time.Now()
	first, last := momentOf(heard.Add(h.pingFrom())), momentOf(heard.Add(h.pingAfter()))
	times := make(map[moment]int)
	for range 1000 {
		times[h.pingDue(heard, 0)]++
	}
	for due := range times {
		if due < first || due > last {
			t.Errorf("due at %d, want %d to %d", due, first, last)
		}
	}
	if len(times) < 5 {
		t.Errorf("all due at %v", times)
	}
}
