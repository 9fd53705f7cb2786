package hub

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

var (
	all   = protocol.AllStream()
	ann   = protocol.InboxOf("ann")
	chess = protocol.GroupOf("chess")
)

func TestLiveMessagesArriveInOrder(t *testing.T) {
	r := newRig(t)
	v1, raw, other := r.connect("ann", true, "chess"), r.connect("ann", false, "chess"), r.connect("bob", true)
	var want []string
	for i := range 300 {
		id := fmt.Sprint("m", i)
		want = append(want, id)
		r.publish(ann, message(id))
		r.publish(chess, message(id))
		r.publish(all, message(id))
	}
	for _, stream := range []string{"inbox", "group:chess", "all"} {
		v1.expect(stream, want...)
	}
	other.expect("all", want...)
	if got := other.ids("inbox"); len(got) > 0 {
		t.Errorf("a message reached somebody else: %q", got)
	}
	raw.wait("all messages", func(all []got) bool { return len(all) == 900 })
	if f := raw.frames()[0]; f.Raw != `"m0"` {
		t.Errorf("a raw client got %q", f.Raw)
	}
}

func TestWhoIsLeftOut(t *testing.T) {
	r := newRig(t)
	phone := r.dial(r.admit(Info{ClientID: "ann", ID: "c-phone", Device: "phone"}, "chess"), false).read()
	web := r.dial(r.admit(Info{ClientID: "ann", ID: "c-web", Device: "web"}, "chess"), false).read()
	bob := r.dial(r.admit(Info{ClientID: "bob", ID: "c-bob", Device: "web"}, "chess"), false).read()
	send := func(id string, change func(*protocol.Envelope)) {
		e := message(id)
		e.From = "ann"
		change(e)
		r.publish(chess, e)
	}
	send("1", func(e *protocol.Envelope) { e.ExceptConn = "c-web" })
	send("2", func(e *protocol.Envelope) { e.ExceptSender = true })
	send("3", func(e *protocol.Envelope) { e.Devices = []string{"phone", "tablet"} })
	send("4", func(*protocol.Envelope) {})
	phone.expect("", `"1"`, `"3"`, `"4"`)
	web.expect("", `"4"`)
	bob.expect("", `"1"`, `"2"`, `"4"`)
}

func TestEphemeralMessages(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	m, err := NewMessage(message("typing").Encode())
	if err != nil {
		t.Fatal(err)
	}
	first := r.publish(ann, message("a"))
	r.deliver(arrival{stream: ann, msg: m})
	r.publish(ann, message("b"))
	k.expect("inbox", "a", "typing", "b")
	for _, g := range k.frames() {
		if want := map[string]string{"a": first.String(), "typing": ""}; g.ID == "a" || g.ID == "typing" {
			if g.At != want[g.ID] {
				t.Errorf("%s has position %q, want %q", g.ID, g.At, want[g.ID])
			}
		}
	}
}

func TestAHoleIsReadFromTheLog(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	r.publish(ann, message("a"))
	r.drop(ann, numbers("d", 0, 500)...)
	r.publish(ann, message("b"))
	r.publish(ann, message("c"))
	k.expect("inbox", append(append([]string{"a"}, numbers("d", 0, 500)...), "b", "c")...)
	if n := r.hub.Counters().Repairs.Load(); n == 0 {
		t.Error("no repair was counted")
	}
}

func TestRepeatedAndOldArrivalsAreSkipped(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	a := r.log.add(ann, message("a"))
	r.deliver(a)
	r.deliver(a)
	b := r.log.add(ann, message("b"))
	r.deliver(b)
	r.deliver(a)
	r.publish(ann, message("c"))
	k.expect("inbox", "a", "b", "c")
}

// What arrives while the last batch is read, and was written after the read, must not be forgotten.
func TestArrivalDuringARepair(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	r.publish(ann, message("a"))
	k.expect("inbox", "a")
	fired := false
	r.log.set(func() {
		r.log.read = func() {
			if fired {
				return
			}
			fired = true
			r.publish(ann, message("late"))
			eventually(t, "the arrival is noted", func() bool {
				s := r.hub.shard(ann)
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.topics[ann].seen.Seq == 4
			})
		}
	})
	r.drop(ann, "b")
	r.publish(ann, message("c")) // does not continue a: the topic is repaired
	k.expect("inbox", "a", "b", "c", "late")
}

func TestVerifyFindsWhatWasMissed(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true, "chess")
	r.publish(ann, message("a"))
	k.expect("inbox", "a")
	r.drop(ann, "b", "c")
	r.drop(chess, "d")
	r.drop(all, "e")
	r.verify()
	k.expect("inbox", "a", "b", "c")
	k.expect("group:chess", "d")
	k.expect("all", "e")
	r.publish(chess, message("f")) // live again
	k.expect("group:chess", "d", "f")
}

// The log answers for the broadcasts, and for nothing after them: everybody has the broadcast all the same.
func TestVerifyBeginsWithBroadcasts(t *testing.T) {
	for range 8 { // a hub visits its shards in turn, and by chance the broadcasts are in the first of four
		r := newRig(t)
		ks := []*client{r.connect("ann", true, "chess"), r.connect("bob", true)}
		r.publish(all, message("first"))
		for _, k := range ks {
			k.expect("all", "first")
		}
		r.drop(all, "missed")
		r.log.set(func() { r.log.most = r.log.tails + 1 })
		ctx, cancel := context.WithCancel(t.Context())
		if err := r.hub.Verify(ctx, func(error) { cancel() }); err == nil {
			t.Error("everything was compared")
		}
		for _, k := range ks {
			k.expect("all", "first", "missed")
		}
	}
}

func TestRepairWaitsForTheLog(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	r.log.set(func() { r.log.fail = errAway })
	r.drop(ann, "a")
	r.publish(ann, message("b"))
	reads := func() (n int) { r.log.set(func() { n = r.log.reads }); return n }
	eventually(t, "an attempt", func() bool { return reads() > 0 })
	r.log.set(func() { r.log.fail = nil })
	k.expect("inbox", "a", "b")
}

func TestVerifyWaitsForTheLog(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	r.log.set(func() { r.log.fail = errAway })
	r.drop(ann, "a")
	told := 0
	err := r.hub.Verify(t.Context(), func(error) {
		told++
		r.log.set(func() { r.log.fail = nil })
	})
	if err != nil || told != 1 {
		t.Errorf("%v, told of %d failures", err, told)
	}
	k.expect("inbox", "a")
}

// Redis came back without its end, and positions would be given out again: the client is told, before what follows.
func TestALostEndIsToldAsAGap(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	for _, id := range numbers("m", 0, 5) {
		r.publish(ann, message(id))
	}
	k.expect("inbox", numbers("m", 0, 5)...)
	r.log.lose(ann, 3)
	r.publish(ann, message("after"))
	k.expect("inbox", append(numbers("m", 0, 5), "gap 10-5 11-1", "after")...)
}

// A stream that expired begins a new epoch too, but nothing is lost.
func TestAnExpiredStreamIsNoGap(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	r.publish(ann, message("a"))
	r.log.set(func() { r.log.streams[ann] = nil })
	m, err := NewMessage(message("b").Encode())
	if err != nil {
		t.Fatal(err)
	}
	r.deliver(arrival{stream: ann, pos: protocol.Position{Epoch: 99, Seq: 1}, fence: r.log.fence, msg: m})
	k.expect("inbox", "a", "b")
}

func TestTrimmedMessagesAreToldAsAGap(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true) // an empty stream
	r.log.set(func() { r.log.keep = 2 })
	r.drop(ann, numbers("d", 0, 10)...)
	r.publish(ann, message("live"))
	k.expect("inbox", "gap 10-0 10-10", "d9", "live")
}

func TestJoinAndLeave(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	pos := r.drop(chess, "before")
	r.hub.Hold(chess)
	r.hub.Settle(chess, pos)
	if !r.hub.Join(k.conn, chess, pos) || r.hub.Join(k.conn, chess, pos) {
		t.Error("Join reports the wrong thing")
	}
	r.hub.Release(chess)
	r.publish(chess, message("member"))
	k.expect("group:chess", "member")
	if !r.hub.Leave(k.conn, chess) || r.hub.Leave(k.conn, chess) {
		t.Error("Leave reports the wrong thing")
	}
	r.publish(chess, message("gone"))
	r.publish(ann, message("end"))
	k.expect("inbox", "end")
	var types []string
	for _, g := range k.frames()[2:] {
		types = append(types, g.Type+" "+g.Group+g.ID+g.At)
	}
	want := "joined chess10-1, message member10-2, left chess, message end10-1"
	if got := strings.Join(types, ", "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n := len(r.hub.shard(chess).topics); n > 3 {
		t.Errorf("%d topics", n)
	}
	r.hub.Streams(func(st protocol.Stream) {
		if st == chess {
			t.Error("a topic without members is kept")
		}
	})
}

// Memberships are read while a connection is being admitted; a leave that comes meanwhile is newer.
func TestLeftWhileBeingAdmitted(t *testing.T) {
	r := newRig(t)
	c := r.hub.Register(Info{ClientID: "ann", ID: "c", Since: time.Now().UnixMilli()})
	r.hub.Hold(chess)
	defer r.hub.Release(chess)
	r.hub.Settle(chess, at(10, 0))
	r.hub.Leave(c, chess)
	if r.hub.Attach(c, chess, nil) {
		t.Error("a group that was left is followed")
	}
	if !r.hub.Join(c, chess, protocol.Position{}) {
		t.Error("a group that was joined again is not followed")
	}
	c.Abandon()
	r.expectReason("c", protocol.ReasonPeerGone)
}

func TestAcknowledgementsOfOwnStreamsOnly(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true, "chess")
	k.send(`{"type":"ack","pos":{"inbox":"5-1","group:chess":"6-1","group:other":"7-1"}}`)
	acked := func() map[protocol.Stream]protocol.Position {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.acked[k.conn.ID]
	}
	eventually(t, "the acknowledgement", func() bool { return acked() != nil })
	if got := acked(); len(got) != 2 || got[ann].Epoch != 5 || got[chess].Epoch != 6 {
		t.Errorf("acknowledged %v", got)
	}
}

// Many small messages take memory too.
func TestArrivalsAreBounded(t *testing.T) {
	h := New(Options{})
	s := h.shard(ann)
	m, err := NewMessage((&protocol.Envelope{ID: "x", Data: []byte("1")}).Encode())
	if err != nil {
		t.Fatal(err)
	}
	for range 200_000 {
		h.Deliver(ann, protocol.Position{Epoch: 1, Seq: 1}, 1, m)
	}
	if n := len(s.in.items); n > maxArrivals/arrivalSize+1 || !s.in.lost {
		t.Errorf("%d messages wait, lost is %v", n, s.in.lost)
	}
}

// A loss concerns everybody who follows, also those for whom the first message after it is not meant.
func TestAGapIsToldToThoseWhomTheMessageLeavesOut(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	r.publish(ann, message("a"))
	k.expect("inbox", "a")
	r.log.set(func() { r.log.fence++ })
	not := message("not for this one")
	not.Devices = []string{"another"}
	r.publish(ann, not)
	r.publish(ann, message("b"))
	k.expect("inbox", "a", "gap 10-1 11-1", "b")
}

// A node may not have come as far as the log. Who follows from where it is gets what is on its way here, but nothing from
// before its membership.
func TestFollowingFromWhereTheNodeIs(t *testing.T) {
	r := newRig(t)
	began := r.tail(chess)
	bob := r.connect("bob", true, "chess")
	bob.expect("group:chess")
	r.publish(chess, message("before"))
	bob.expect("group:chess", "before")
	r.connect("eve", true, "chess").expect("group:chess")
	onItsWay := []arrival{r.log.add(chess, message("a")), r.log.add(chess, message("b"))}
	follow := func(id string, since protocol.Position) *client {
		c := r.admit(Info{ClientID: id, ID: "c-" + id})
		r.hub.AttachSince(c, chess, since)
		k := r.dial(c, true).read()
		k.send(`{"type":"start"}`)
		k.wait("started", func(all []got) bool { return len(all) > 0 && all[len(all)-1].Type == "started" })
		return k
	}
	member, newcomer := follow("ann", began), follow("dan", onItsWay[0].pos)
	for _, a := range onItsWay {
		r.deliver(a)
	}
	r.publish(chess, message("c"))
	newcomer.expect("group:chess", "b", "c")
	member.expect("group:chess", "a", "b", "c")
}

// A comparison that runs while a connection is being admitted reads the stream's end before its channel is subscribed to: what
// is sent between is not announced.
func TestATailThatWasReadBeforeTheSubscription(t *testing.T) {
	r := newRig(t)
	r.drop(ann, "a") // 10-1, long ago
	c := r.hub.Register(Info{ClientID: "ann", ID: "x", Device: "default", Since: time.Now().UnixMilli()})
	r.hub.Hold(ann)     // Admit: before subscribing
	r.verify()          // Bus.streams: T1
	r.drop(ann, "b")    // 10-2 is published: the channel is not subscribed to yet, so nothing arrives
	tail := r.tail(ann) // connect.lua, after SUBSCRIBE was confirmed
	r.hub.Settle(ann, tail)
	r.hub.Attach(c, ann, &tail)
	r.hub.Release(ann)
	k := r.dial(c, true).read()
	k.send(`{"type":"start","pos":{"inbox":"10-1"}}`)
	k.wait("started", func(fs []got) bool { return len(fs) > 1 })
	defer func() {
		for _, f := range k.frames() {
			t.Log(f.Raw)
		}
	}()
	k.expect("inbox", "b")
}
