package hub

import (
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// keeps is for how long the log of these tests has a message.
const keeps = time.Hour

func keep(o *Options) { o.Keeps = keeps }

// expire is the end of a stream in which nothing is said any more.
func (r *rig) expire(st protocol.Stream) { r.log.set(func() { delete(r.log.streams, st) }) }

// anew publishes the first message of a stream that has expired, or of a new one.
func (r *rig) anew(st protocol.Stream, id string) {
	m, err := NewMessage(message(id).Encode())
	if err != nil {
		r.t.Fatal(err)
	}
	a := arrival{stream: st, pos: at(1000, 1), fence: 10, msg: m}
	r.log.set(func() { r.log.streams[st] = []Entry{{a.pos, m}} })
	r.deliver(a)
}

// What a node missed may have expired before it looked. Where that cannot be excluded its clients are told; where it can, a
// stream that merely expired is no gap.
func TestWhatWasMissedAndHasExpiredIsToldAsAGap(t *testing.T) {
	tests := []struct {
		name  string
		away  time.Duration // how long the node heard nothing; 0: it heard everything
		early bool          // the next message comes before the comparison
		said  bool          // something was said before
		want  []string
	}{
		{"heard everything", 0, false, true, []string{"a", "c"}},
		{"away for a moment", keeps / 2, false, true, []string{"a", "c"}},
		{"away for a moment, not compared yet", keeps / 2, true, true, []string{"a", "c"}},
		{"away for long", keeps, false, true, []string{"a", "gap 10-1 1000-1", "c"}},
		{"away for long, not compared yet", keeps, true, true, []string{"a", "gap 10-1 1000-1", "c"}},
		{"away for long, an empty stream", keeps, false, false, []string{"gap 10-0 1000-1", "c"}},
		{"away for long, an empty stream, not compared yet", keeps, true, false, []string{"gap 10-0 1000-1", "c"}},
		{"away for a moment, an empty stream", keeps / 2, true, false, []string{"c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, keep)
			k := r.connect("ann", true)
			if tt.said {
				r.publish(ann, message("a"))
				k.expect("inbox", "a")
			}
			if tt.away > 0 {
				r.drop(ann, "b")
				r.hub.Missed(time.Now().Add(-tt.away))
			}
			r.expire(ann)
			if !tt.early {
				r.verify()
			}
			r.anew(ann, "c")
			k.expect("inbox", tt.want...)
		})
	}
}

// A comparison ends the doubt: who comes after it has missed nothing, and what expires after it was heard.
func TestWhatWasComparedIsNotInDoubt(t *testing.T) {
	r := newRig(t, keep)
	before := r.connect("before", true, "chess")
	r.hub.Missed(time.Now().Add(-2 * keeps))
	r.verify()
	after := r.connect("after", true, "chess")
	r.publish(chess, message("a"))
	before.expect("group:chess", "gap 10-0 10-1", "a")
	after.expect("group:chess", "a")
	r.expire(chess)
	r.anew(chess, "b")
	before.expect("group:chess", "gap 10-0 10-1", "a", "b")
	after.expect("group:chess", "a", "b")
}

// An interruption that begins while an earlier one is compared is in doubt until the next comparison.
func TestAnInterruptionDuringAComparisonIsNotCompared(t *testing.T) {
	r := newRig(t, keep)
	last := r.hub.blind.last()
	r.hub.Missed(time.Now().Add(-keeps))
	r.hub.blind.compared(last)
	if !r.hub.hides() {
		t.Error("it is forgotten")
	}
	r.hub.Missed(time.Now())
	if !r.hub.hides() {
		t.Error("a later one has taken its place")
	}
	r.hub.blind.compared(r.hub.blind.last())
	if r.hub.hides() {
		t.Error("it is still in doubt")
	}
}

// cut is a log that comes back without its end, and goes on in the epoch it had: a fence that was raised is lost, too.
func (r *rig) cut(st protocol.Stream, left int) {
	r.log.set(func() { r.log.streams[st] = r.log.streams[st][:left:left] })
}

// Positions that come again are not taken for known. A client that has come further begins anew: in its connection they only
// rise. One that takes no positions goes on.
func TestPositionsThatComeAgain(t *testing.T) {
	r := newRig(t)
	k, raw := r.connect("ann", true), r.connect("ann", false)
	for _, id := range numbers("m", 0, 5) {
		r.publish(ann, message(id))
	}
	k.expect("inbox", numbers("m", 0, 5)...)
	r.cut(ann, 3)
	r.verify()
	if pos := r.publish(ann, message("again")); pos != at(10, 4) {
		t.Fatalf("sent at %v", pos)
	}
	k.expectClose(4003)
	raw.expect("", `"m0"`, `"m1"`, `"m2"`, `"m3"`, `"m4"`, `"again"`)

	back := r.dial(r.admit(Info{ClientID: "ann", ID: "back"}), true).read()
	back.send(`{"type":"start","pos":{"inbox":"10-5"}}`)
	back.wait("started", func(all []got) bool { return len(all) > 1 })
	if f := back.frames()[1]; f.Pos["inbox"] != "10-4" || f.Recovered["inbox"] {
		t.Errorf("started %s, want the inbox in doubt and at 10-4", f.Raw)
	}
	r.publish(ann, message("live"))
	back.expect("inbox", "live")
}

// A client that has not come as far as where the log was cut is told when it gets there.
func TestASlowClientIsToldWhereTheLogWasCut(t *testing.T) {
	r := newRig(t)
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "slow"}), true)
	k.send(`{"type":"start"}`)
	eventually(t, "the start", func() bool { k.conn.mu.Lock(); defer k.conn.mu.Unlock(); return k.conn.started })
	var want []string
	for n := 0; r.hub.Counters().Behind.Load() == 0; n++ {
		id := numbers("m", n, n+1)[0]
		want = append(want, id)
		r.publish(ann, heavy(id))
	}
	r.publish(ann, message("more"))
	last := r.publish(ann, message("lost"))
	r.cut(ann, len(want)+1)
	r.verify()
	eventually(t, "it is marked", func() bool {
		k.conn.mu.Lock()
		defer k.conn.mu.Unlock()
		s := r.hub.shard(ann)
		s.mu.Lock()
		defer s.mu.Unlock()
		return k.conn.find(ann).missed
	})
	if pos := r.publish(ann, message("again")); pos != last {
		t.Fatalf("sent at %v", pos)
	}
	k.read()
	before := at(last.Epoch, last.Seq-1)
	k.expect("inbox", append(want, "more", "gap "+before.String()+" "+last.String(), "again")...)
	r.publish(ann, message("live"))
	k.expect("inbox", append(want, "more", "gap "+before.String()+" "+last.String(), "again", "live")...)
}

// What is read from the log of a group must not be newer than the leaves that were heard of: positions that come again are.
func TestWhatWasHeardOfIsForgottenWhereTheLogIsCut(t *testing.T) {
	r := newRig(t)
	raw := r.connect("ann", false, "chess")
	for _, id := range numbers("m", 0, 3) {
		r.publish(chess, message(id))
	}
	raw.expect("", `"m0"`, `"m1"`, `"m2"`)
	r.cut(chess, 1)
	r.verify()
	asked := func() int { r.mu.Lock(); defer r.mu.Unlock(); return r.asked }
	before := asked()
	r.drop(chess, "again")
	r.verify()
	raw.expect("", `"m0"`, `"m1"`, `"m2"`, `"again"`)
	if asked() == before {
		t.Error("the subscription was not asked how far it is")
	}
}

// A log that ends before what this node has seen has lost its end, though nobody has raised the fence yet: whoever begins where it ends
// now may have missed what is lost.
func TestAStartWhereTheLogLostItsEnd(t *testing.T) {
	for pos, started := range map[string]string{"10-2": "10-2", "10-3": "10-3", "10-5": "10-3"} {
		t.Run(pos, func(t *testing.T) {
			r := newRig(t)
			other := r.connect("ann", true)
			for _, id := range numbers("m", 0, 5) {
				r.publish(ann, message(id))
			}
			other.expect("inbox", numbers("m", 0, 5)...)
			k := r.dial(r.admit(Info{ClientID: "ann", ID: "back"}), true).read()
			r.cut(ann, 3)
			k.send(`{"type":"start","pos":{"inbox":"` + pos + `"}}`)
			k.wait("started", func(all []got) bool { return len(all) > 1 })
			if f := k.frames()[1]; f.Pos["inbox"] != started || f.Recovered["inbox"] {
				t.Errorf("started %s, want the inbox in doubt and at %s", f.Raw, started)
			}
		})
	}
}
