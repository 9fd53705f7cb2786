package hub

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/imtier/imtier/imserver/internal/clock"
)

// What the roster holds is what a plain map would, whatever comes and goes.
func TestRosterIsAMap(t *testing.T) {
	now := time.Now()
	second := moment(clock.Millis(now) / 1000)
	random := rand.New(rand.NewPCG(1, 2))
	var (
		r    roster
		want = make(map[*Conn]moment)
		list []*Conn // those of want
		gone []*Conn
	)
	for range 20_000 {
		switch n := random.IntN(100); {
		case n < 40:
			c := &Conn{}
			r.add(c)
			want[c], list = nextRound, append(list, c)
		case n < 60 && len(list) > 0:
			i := random.IntN(len(list))
			c := list[i]
			r.remove(c)
			delete(want, c)
			list, gone = slices.Delete(list, i, i+1), append(gone, c)
		case n < 97 && len(list) > 0:
			c, due := list[random.IntN(len(list))], second+moment(random.IntN(5))
			r.put(c, due)
			want[c] = min(want[c], due)
		case n < 98 && len(gone) > 0:
			r.put(gone[random.IntN(len(gone))], nextRound) // the sweep may be late
		case n >= 98:
			took := make(map[*Conn]bool)
			for _, c := range r.take(nil, now) {
				if took[c] || want[c] > second {
					t.Fatalf("took a connection that is due at %d at %d, twice: %t", want[c], second, took[c])
				}
				took[c] = true
			}
			for c, due := range want {
				if due <= second && !took[c] {
					t.Fatal("a connection that is due was not taken")
				}
				if took[c] {
					want[c] = never
				}
			}
		}
		if r.len() != len(want) {
			t.Fatalf("%d connections, want %d", r.len(), len(want))
		}
	}
	for _, c := range r.all() {
		if _, ok := want[c]; !ok {
			t.Fatal("a connection is listed twice, or has gone")
		}
		delete(want, c)
	}
	if len(want) > 0 {
		t.Fatalf("%d connections are missing", len(want))
	}
}

// While the sweep looks at a connection somebody may call for it again.
func TestACallIsNotLost(t *testing.T) {
	now := time.Now()
	var r roster
	c := &Conn{}
	r.add(c)
	r.take(nil, now)
	r.call(c)
	r.put(c, momentOf(now.Add(time.Minute)))
	if len(r.take(nil, now)) != 1 {
		t.Error("lost")
	}
}

func TestMomentsAreNotEarly(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 999 * time.Millisecond, time.Second, 1001 * time.Millisecond} {
		at := clock.Time(0).Add(after)
		if m := momentOf(at); clock.Time(1000*int64(m)).Before(at) || clock.Time(1000*int64(m)).Sub(at) >= time.Second {
			t.Errorf("%v: %d", after, m)
		}
	}
	if m := momentOf(clock.Time(-5)); m != 0 {
		t.Errorf("before the process began: %d", m)
	}
}
