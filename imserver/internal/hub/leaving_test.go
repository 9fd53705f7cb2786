package hub

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// What comes after the announcement that a client leaves is withheld, although the leaving itself takes its time.
func TestWhoIsLeavingGetsNothingMore(t *testing.T) {
	r := newRig(t)
	k, other := r.connect("ann", true, "chess"), r.connect("bob", true, "chess")
	r.publish(chess, message("before"))
	k.expect("group:chess", "before")
	leave := r.hub.Leaving("ann", "chess", r.tail(chess))
	r.publish(chess, message("after"))
	other.expect("group:chess", "before", "after")
	for _, c := range leave.conns {
		r.hub.Leave(c, chess)
	}
	r.hub.Left(leave)
	r.publish(ann, message("direct"))
	k.expect("inbox", "direct")
	k.expect("group:chess", "before")

	// It may come back, from then on.
	r.hub.Hold(chess)
	r.hub.Join(k.conn, chess, r.tail(chess))
	r.hub.Release(chess)
	r.publish(chess, message("again"))
	k.expect("group:chess", "before", "again")
}

// A connection that is being read to from the log is withheld from as well, but not what was sent before.
func TestWhoIsLeavingIsReadToUntilThen(t *testing.T) {
	r := newRig(t)
	c := r.admit(Info{ClientID: "ann", ID: "conn-late"}, "chess")
	r.publish(chess, message("missed"))
	k := r.dial(c, true).read()
	leave := r.hub.Leaving("ann", "chess", r.tail(chess))
	r.publish(chess, message("after"))
	k.send(`{"type":"start"}`)
	k.wait("started", func(all []got) bool { return len(all) >= 2 && all[1].Type == "started" })
	r.hub.Depart(t.Context(), leave)
	k.waitLast("left")
	k.expect("group:chess", "missed")
}

// A message that was sent before a member left is the member's, however soon the leave follows.
func TestWhatWasSentBeforeALeaveIsGiven(t *testing.T) {
	r := newRig(t)
	k, other := r.connect("ann", true, "chess"), r.connect("bob", true, "chess")
	for round := range 20 {
		id := fmt.Sprint("goodbye", round)
		a := r.log.add(chess, message(id))
		r.bus.Lock() // the subscription reads both in one go, as on a busy node
		r.hub.Deliver(a.stream, a.pos, a.fence, a.msg)
		leave := r.hub.Leaving("ann", "chess", r.tail(chess))
		after := r.log.add(chess, message("after"))
		r.hub.Deliver(after.stream, after.pos, after.fence, after.msg)
		r.hub.Flush()
		r.bus.Unlock()
		r.hub.Depart(t.Context(), leave)
		k.waitLast("left")
		want := make([]string, round+1)
		for i := range want {
			want[i] = fmt.Sprint("goodbye", i)
		}
		k.expect("group:chess", want...)
		other.wait("both", func(all []got) bool { return len(all) > 0 && all[len(all)-1].ID == "after" })
		r.hub.Hold(chess)
		r.hub.Join(k.conn, chess, r.tail(chess))
		r.hub.Release(chess)
		k.waitLast("joined")
	}
}

// The same while what came before is read from the log.
func TestWhatIsRepairedBeforeALeaveIsGiven(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true, "chess")
	gate := make(chan struct{})
	r.drop(chess, "a")
	r.log.set(func() { r.log.read = func() { <-gate } })
	r.publish(chess, message("b"))
	leave := r.hub.Leaving("ann", "chess", r.tail(chess))
	departed := make(chan struct{})
	go func() { defer close(departed); r.hub.Depart(t.Context(), leave) }()
	close(gate)
	<-departed
	k.waitLast("left")
	k.expect("group:chess", "a", "b")
}

// What cannot be given in time is told.
func TestWhatIsNotGivenBeforeALeaveIsAGap(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true, "chess")
	gate := make(chan struct{})
	defer close(gate)
	r.drop(chess, "a")
	r.log.set(func() { r.log.read = func() { <-gate } })
	r.publish(chess, message("b"))
	leave := r.hub.Leaving("ann", "chess", r.tail(chess))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.hub.Depart(ctx, leave)
	k.waitLast("left")
	k.expect("group:chess", "gap 10-0 10-3")
}

// A leave does not wait for who does not read: such a peer is told of a gap if it ever does.
func TestALeaveDoesNotWaitForWhoDoesNotRead(t *testing.T) {
	r := newRig(t)
	for round := 1; ; round++ { // a busy machine may be slow, but not always
		id := fmt.Sprint("ann", round)
		k, f := r.deaf(id)
		leave := r.hub.Leaving(id, "chess", r.tail(chess))
		began := time.Now()
		r.hub.Depart(t.Context(), leave)
		took := time.Since(began)
		if r.hub.shard(chess).has(f) {
			t.Error("it is still to be given something")
		}
		k.read().wait("the gap, or the end", func(all []got) bool {
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.err != nil || len(all) > 1 && all[len(all)-1].Type == "left" && all[len(all)-2].Type == "gap"
		})
		if took < departPatience {
			return
		}
		if round == 5 {
			t.Fatalf("it took %v", took)
		}
	}
}

// deaf connects a client that does not read, and has more waiting than the kernel takes.
func (r *rig) deaf(id string) (*client, *follow) {
	r.t.Helper()
	k := r.dial(r.admit(Info{ClientID: id, ID: id}, "chess"), true)
	k.send(`{"type":"start"}`)
	eventually(r.t, "it takes messages", func() bool { k.conn.mu.Lock(); defer k.conn.mu.Unlock(); return k.conn.started })
	k.conn.mu.Lock()
	f := k.conn.find(chess)
	k.conn.mu.Unlock()
	s := r.hub.shard(chess)
	at := func() (pos protocol.Position, stuck bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return f.pos, f.mode == behind && k.conn.sock.Queued() > 0
	}
	for {
		for range 50 {
			r.publish(chess, heavy("x"))
		}
		before, _ := at()
		<-time.After(2 * stuckAfter)
		if after, stuck := at(); stuck && after == before {
			return k, f
		}
	}
}

// A connection that is being admitted may have read the membership before it ended.
func TestALeaveBeforeTheGroupIsFollowed(t *testing.T) {
	r := newRig(t)
	r.hub.Hold(chess)
	defer r.hub.Release(chess)
	c := r.hub.Register(Info{ClientID: "ann", ID: "late"})
	defer c.Abandon()
	leave := r.hub.Leaving("ann", "chess", r.tail(chess))
	r.hub.Depart(t.Context(), leave)
	if r.hub.Attach(c, chess, nil) {
		t.Error("it follows a group that it has left")
	}
}

// Who is in the middle of reading a lot is given all of it.
func TestALeaveWaitsForWhoReads(t *testing.T) {
	r := newRig(t)
	c := r.admit(Info{ClientID: "ann", ID: "c"}, "chess")
	want := numbers("m", 0, 200)
	for _, id := range want {
		e := message(id)
		e.Data = []byte(`"` + strings.Repeat("x", 4000) + `"`)
		r.publish(chess, e)
	}
	k := r.dial(c, true).read()
	k.send(`{"type":"start"}`)
	k.wait("some", func(all []got) bool { return len(all) > 20 })
	leave := r.hub.Leaving("ann", "chess", r.tail(chess))
	leave.due = time.Now().Add(patience)
	r.hub.Depart(t.Context(), leave)
	k.waitLast("left")
	k.expect("group:chess", want...)
}

// Many leaves that cannot be given what was sent before hold up what comes after them for a second in all, and not at all while
// their groups are withheld anyway.
func TestLeavesWaitTogether(t *testing.T) {
	for _, tt := range []struct {
		name  string
		away  func(r *rig)
		limit time.Duration
	}{
		{"the log is away", func(r *rig) { r.log.set(func() { r.log.fail = errAway }); r.drop(chess, "a") }, 3 * departPatience},
		{"groups are withheld", func(r *rig) { r.hub.HoldGroups() }, departPatience},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			var ids []string
			for i := range 5 {
				ids = append(ids, fmt.Sprint("c", i))
				r.connect(ids[i], true, "chess")
			}
			r.publish(chess, message("before"))
			tt.away(r)
			r.publish(chess, message("dissolved"))
			var leaves []*Departure
			for _, id := range ids {
				leaves = append(leaves, r.hub.Leaving(id, "chess", r.tail(chess)))
			}
			began := time.Now()
			for _, d := range leaves {
				r.hub.Depart(t.Context(), d)
			}
			if took := time.Since(began); took > tt.limit {
				t.Errorf("%d leaves took %v", len(leaves), took)
			}
			r.log.set(func() { r.log.fail = nil })
			r.hub.ReleaseGroups()
		})
	}
}

func TestLeavingTwice(t *testing.T) {
	var l leavings
	a, b := &Departure{stream: chess}, &Departure{stream: chess}
	l.add(a)
	l.add(b)
	l.end(a)
	if l.first(chess) != b || l.first(protocol.GroupOf("go")) != nil || l.first(protocol.InboxOf("chess")) != nil {
		t.Error("after two announcements and one end only chess is withheld, from the second on")
	}
	l.end(b)
	if l.first(chess) != nil || l.groups != nil {
		t.Errorf("something is left: %v", l.groups)
	}
}

// Who turns out to stay is given what was withheld, in order and once.
func TestWhoStaysIsGivenWhatWasWithheld(t *testing.T) {
	r := newRig(t)
	k, other := r.connect("ann", true, "chess"), r.connect("bob", true, "chess")
	late := r.admit(Info{ClientID: "ann", ID: "late"}, "chess")
	r.publish(chess, message("before"))
	k.expect("group:chess", "before")
	leave := r.hub.Leaving("ann", "chess", r.tail(chess))
	r.publish(chess, message("a"))
	r.publish(chess, message("b"))
	behind := r.dial(late, true).read() // it reads from the log, and comes to an end there
	behind.send(`{"type":"start"}`)
	behind.expect("group:chess", "before")
	other.expect("group:chess", "before", "a", "b")
	r.publish(ann, message("direct"))
	for _, c := range []*client{k, behind} {
		c.expect("inbox", "direct")
		c.expect("group:chess", "before")
	}
	r.hub.Stay(leave)
	for _, c := range []*client{k, behind} {
		c.expect("group:chess", "before", "a", "b")
	}
	r.publish(chess, message("c"))
	for _, c := range []*client{k, behind, other} {
		c.expect("group:chess", "before", "a", "b", "c")
	}
}

// Messages go on meanwhile: none of them may pass over those that were withheld.
func TestWhoStaysMissesNothingMeanwhile(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true, "chess")
	var want []string
	for round := range 300 {
		leave := r.hub.Leaving("ann", "chess", r.tail(chess))
		ids := numbers(fmt.Sprint("m", round, "-"), 0, 6)
		want = append(want, ids...)
		r.publish(chess, message(ids[0]))
		var wg sync.WaitGroup
		wg.Go(func() {
			for _, id := range ids[1:] {
				r.publish(chess, message(id))
			}
		})
		wg.Go(func() { r.hub.Stay(leave) })
		wg.Wait()
	}
	k.expect("group:chess", want...)
}

// Two may be in doubt at once, and the one that was first be the one that is real.
func TestWhoStaysAfterLeavingIsGivenNothing(t *testing.T) {
	r := newRig(t)
	k, other := r.connect("ann", true, "chess"), r.connect("bob", true, "chess")
	r.publish(chess, message("before"))
	k.expect("group:chess", "before")
	unsure := r.hub.Leaving("ann", "chess", r.tail(chess))
	r.publish(chess, message("after"))
	leave := r.hub.Leaving("ann", "chess", unsure.until)
	r.publish(chess, message("later"))
	r.hub.Depart(t.Context(), leave)
	k.waitLast("left")
	r.hub.Stay(unsure)
	other.expect("group:chess", "before", "after", "later")
	r.publish(ann, message("direct"))
	k.expect("inbox", "direct")
	k.expect("group:chess", "before")
	if k.conn.leaving.any.Load() != 0 {
		t.Error("something is still withheld")
	}
}

// One doubt ends while another one, of a later end, goes on: what is between the two is given.
func TestWhoStaysIsWithheldFromTheNextLeave(t *testing.T) {
	r := newRig(t)
	k, other := r.connect("ann", true, "chess"), r.connect("bob", true, "chess")
	first := r.hub.Leaving("ann", "chess", r.tail(chess))
	r.publish(chess, message("between"))
	second := r.hub.Leaving("ann", "chess", r.tail(chess))
	r.publish(chess, message("after"))
	other.expect("group:chess", "between", "after")
	r.hub.Stay(first)
	k.expect("group:chess", "between")
	r.hub.Depart(t.Context(), second)
	k.waitLast("left")
	r.publish(ann, message("direct"))
	k.expect("inbox", "direct")
	k.expect("group:chess", "between")
}

func TestHeldGroupsAreReadAfterwards(t *testing.T) {
	r := newRig(t)
	k, late := r.connect("ann", true, "chess"), r.admit(Info{ClientID: "bob", ID: "conn-bob"}, "chess")
	t.Cleanup(func() {
		if !late.Ready() {
			late.Abandon() // the hub waits for it otherwise
		}
	})
	r.publish(chess, message("a"))
	k.expect("group:chess", "a")
	r.hub.HoldGroups()
	b := r.publish(chess, message("b"))
	eventually(t, "b has been noted", func() bool {
		s := r.hub.shard(chess)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.topics[chess].seen == b
	})
	r.drop(chess, "c")
	r.verify()
	bob := r.dial(late, true).read() // it has to read from the log, which is withheld as well
	bob.send(`{"type":"start"}`)
	bob.wait("started", func(all []got) bool { return len(all) == 2 })
	r.publish(ann, message("direct"))
	r.publish(all, message("everybody"))
	k.expect("inbox", "direct")
	k.expect("all", "everybody")
	bob.expect("all", "everybody")
	k.expect("group:chess", "a")
	bob.expect("group:chess")
	r.hub.ReleaseGroups()
	k.expect("group:chess", "a", "b", "c")
	bob.expect("group:chess", "a", "b", "c")
	r.publish(chess, message("d"))
	k.expect("group:chess", "a", "b", "c", "d")
	bob.expect("group:chess", "a", "b", "c", "d")
}

// Nothing comes after "left" from a log that was being read meanwhile.
func TestWhoHasLeftGetsNothingFromTheLog(t *testing.T) {
	r := newRig(t)
	c := r.admit(Info{ClientID: "ann", ID: "conn-late"}, "chess")
	r.publish(chess, message("missed"))
	k := r.dial(c, true).read()
	eventually(t, "the message is behind the connection", func() bool {
		s := r.hub.shard(chess)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.topics[chess].head.Seq == 1
	})
	left := make(chan struct{})
	var once sync.Once
	r.log.set(func() { r.log.read = func() { once.Do(func() { r.hub.Leave(c, chess); close(left) }) } })
	k.send(`{"type":"start"}`)
	select {
	case <-left:
	case <-time.After(patience):
		t.Fatal("the log was not read")
	}
	k.wait("left", func(all []got) bool { return len(all) > 0 && all[len(all)-1].Type == "left" })
	r.publish(ann, message("direct"))
	k.expect("inbox", "direct")
	k.expect("group:chess")
}

// A member that has joined and left before the join was acted on is given what was sent between.
func TestWhatWasSentBetweenAJoinAndALeaveIsGiven(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	since := r.tail(chess)
	r.publish(chess, message("welcome")) // nobody here follows chess yet
	leave := r.hub.Leaving("ann", "chess", r.tail(chess))
	r.join(k.conn, chess, since)
	r.hub.Depart(t.Context(), leave)
	k.waitLast("left")
	k.expect("group:chess", "welcome")
}

// A leave ends where the group's log ended, also when it is announced to a node that has read further.
func TestWhatWasSentAfterALeaveIsInTheLog(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	since := r.tail(chess)
	welcome := r.log.add(chess, message("welcome"))
	secret := r.log.add(chess, message("secret"))
	departed := make(chan *Departure, 1)
	r.onHeard(func() error { // the subscription is behind the log
		r.deliver(welcome)
		leave := r.hub.Leaving("ann", "chess", welcome.pos)
		r.deliver(secret)
		departed <- leave
		return nil
	})
	r.join(k.conn, chess, since)
	r.hub.Depart(t.Context(), await(t, "the leave", departed))
	k.waitLast("left")
	k.expect("group:chess", "welcome")
}

// A membership that ended unnoticed: where it ended nobody knows, so all that may be missing is told.
func TestLeavingUnnoticed(t *testing.T) {
	r := newRig(t)
	k, other := r.connect("ann", true, "chess"), r.connect("bob", true, "chess")
	r.publish(chess, message("before"))
	k.expect("group:chess", "before")
	other.expect("group:chess", "before")
	last := r.drop(chess, "missed")
	r.hub.LeaveAt(k.conn, chess, last)
	k.waitLast("left")
	k.expect("group:chess", "before", "gap 10-1 10-3")
	r.hub.LeaveAt(other.conn, chess, at(10, 1))
	other.waitLast("left")
	other.expect("group:chess", "before")
}

// join makes a connection follow a group as the bus does.
func (r *rig) join(c *Conn, st protocol.Stream, since protocol.Position) {
	if !r.hub.Hold(st) {
		r.hub.Settle(st, r.tail(st))
	}
	r.hub.Join(c, st, since)
	r.hub.Release(st)
}
