package hub

import (
	"fmt"
	"testing"
	"time"

	"github.com/imtier/imtier/imserver/internal/clock"
	"github.com/imtier/imtier/pkg/protocol"
)

func TestSweepRoundsFitTheInterval(t *testing.T) {
	for _, tc := range []struct {
		interval  time.Duration
		rounds    int
		pingAfter time.Duration
	}{
		{time.Millisecond, 1, 500 * time.Microsecond},
		{10 * time.Second, 1, 9 * time.Second},
		{25 * time.Second, 3, 22 * time.Second},
		{10 * time.Minute, 30, 570 * time.Second},
	} {
		h := &Hub{opts: Options{PingInterval: tc.interval}}
		if rounds, after := h.sweepRounds(), h.pingAfter(); rounds != tc.rounds || after != tc.pingAfter {
			t.Errorf("%v: %d rounds, pings after %v; want %d and %v", tc.interval, rounds, after, tc.rounds, tc.pingAfter)
		}
	}
}

func TestEveryConnectionHasItsTurn(t *testing.T) {
	for _, n := range []int{0, 1, 9, 10, 11, 105} {
		const rounds = 10
		all := make([]*Conn, n)
		for i := range all {
			all[i] = &Conn{}
		}
		var (
			turn turns
			seen = make(map[*Conn]int)
		)
		for range rounds {
			took := turn.take(func(to []*Conn) []*Conn { return append(to, all...) }, rounds)
			if most := (n + rounds - 1) / rounds; len(took) > most {
				t.Errorf("of %d: %d at once, want %d at most", n, len(took), most)
			}
			for _, c := range took {
				seen[c]++
			}
		}
		for i, c := range all {
			if c == nil || seen[c] == 0 {
				t.Errorf("connection %d of %d had no turn", i, n)
			}
		}
	}
}

// Whoever does not start, or does not answer a close frame, is not let off until his turn.
func TestAwaitedPeersAreLookedAtInEveryRound(t *testing.T) {
	const startTimeout = 500 * time.Millisecond
	for name, tc := range map[string]struct {
		v1     bool
		begin  func(*client)
		reason protocol.Reason
	}{
		"who does not start": {true, func(*client) {}, protocol.ReasonMisuse},
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
	k.expectClose(protocol.ReasonMisuse.Code())
}

func TestWhoIsCalmIsNotLookedAt(t *testing.T) {
	h := &Hub{opts: Options{PingInterval: time.Minute}}
	now := time.Now()
	c := &Conn{hub: h, calm: uint32(clock.Millis(now.Add(10*time.Second)) / 1000)} // without a socket: to look at it panics
	c.ready.Store(true)
	h.conns = map[string]*Conn{"quiet": c}
	s := sweeper{hub: h}
	for range h.sweepRounds() {
		s.round(t.Context(), now)
	}
	defer func() {
		if recover() == nil {
			t.Error("nobody was looked at who is calm no more")
		}
	}()
	for range h.sweepRounds() {
		s.round(t.Context(), now.Add(11*time.Second))
	}
}

// A ping that is due is not missed because nobody looks before.
func TestCalmEndsWhenAPingCanBeDue(t *testing.T) {
	r := newRig(t, func(o *Options) { o.PingInterval = 4 * time.Second })
	k := r.dial(r.admit(Info{ClientID: "quiet", ID: "quiet"}), false) // and answers no ping
	heard := k.conn.sock.Heard()
	eventually(t, "a ping", func() bool { return k.conn.pinged.Load() > 0 })
	calm, pinged := clock.Time(1000*int64(k.conn.calm)), clock.Time(k.conn.pinged.Load())
	if soonest := heard.Add(r.hub.pingFrom()); calm.After(soonest) || calm.Before(soonest.Add(-time.Second)) {
		t.Errorf("calm until %v, a ping can be due from %v on", calm, soonest)
	}
	if pinged.Before(calm) {
		t.Errorf("pinged at %v, calm until %v", pinged, calm)
	}
}

func TestPingsAreDueByChance(t *testing.T) {
	h := &Hub{opts: Options{PingInterval: 25 * time.Second}}
	after := h.pingAfter()
	for quiet, want := range map[time.Duration][2]bool{ // due sometimes, due always
		after - after/pingSpread: {false, false},
		after - after/8:          {true, false},
		after:                    {true, true},
	} {
		due := 0
		for range 1000 {
			if h.pingDue(quiet) {
				due++
			}
		}
		if got := [2]bool{due > 0, due == 1000}; got != want {
			t.Errorf("quiet for %v: due %d times of 1000", quiet, due)
		}
	}
}
