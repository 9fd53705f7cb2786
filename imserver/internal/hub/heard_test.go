package hub

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// onHeard has f done once, when the subscription is asked for: it is what the subscription brings meanwhile.
func (r *rig) onHeard(f func() error) {
	var once sync.Once
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = func() (err error) {
		once.Do(func() { err = f() })
		return err
	}
}

func (r *rig) timesAsked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// behindWith admits ann, who is in chess and has to be read to from the log, which ends with messages that the subscription
// has not brought.
func (r *rig) behindWith(ids ...string) (*Conn, *client) {
	r.t.Helper()
	c := r.admit(Info{ClientID: "ann", ID: "conn-ann"}, "chess")
	k := r.dial(c, true).read()
	r.publish(chess, message("brought"))
	eventually(r.t, "the message is behind the connection", func() bool {
		s := r.hub.shard(chess)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.topics[chess].head.Seq == 1
	})
	r.drop(chess, ids...)
	return c, k
}

// await receives, but not for ever.
func await[T any](t *testing.T, what string, from <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(patience):
		t.Fatalf("never happened: %s", what)
	}
	return got
}

func (k *client) waitLast(typ string) {
	k.t.Helper()
	k.wait(typ, func(all []got) bool { return len(all) > 0 && all[len(all)-1].Type == typ })
}

// A message that was sent after the client had left is in the log before the leave is announced here.
func TestLogIsAheadOfALeave(t *testing.T) {
	r := newRig(t)
	c, k := r.behindWith("sent after the leave")
	var leave *Departure
	r.onHeard(func() error { leave = r.hub.Leaving("ann", "chess", at(10, 1)); return nil })
	k.send(`{"type":"start"}`)
	eventually(t, "the subscription is asked for", func() bool { return r.timesAsked() > 0 })
	r.publish(ann, message("direct"))
	k.expect("inbox", "direct")
	r.hub.Leave(c, chess)
	r.hub.Left(leave)
	k.waitLast("left")
	k.expect("group:chess", "brought")
}

// What was sent between leaving and joining again is for neither membership.
func TestLogIsAheadOfALeaveAndAJoin(t *testing.T) {
	r := newRig(t)
	c, k := r.behindWith("between")
	since := r.tail(chess)
	r.drop(chess, "sent after the join")
	r.onHeard(func() error {
		leave := r.hub.Leaving("ann", "chess", at(10, 1))
		r.hub.Leave(c, chess)
		r.hub.Hold(chess)
		r.hub.Settle(chess, r.tail(chess))
		r.hub.Join(c, chess, since)
		r.hub.Release(chess)
		r.hub.Left(leave)
		return nil
	})
	k.send(`{"type":"start"}`)
	k.expect("group:chess", "brought", "sent after the join")
}

// Who joins with history is given what was said before, also between two memberships.
func TestLogIsAheadOfAJoinWithHistory(t *testing.T) {
	r := newRig(t)
	c, k := r.behindWith("between")
	r.onHeard(func() error {
		r.hub.Leave(c, chess)
		r.hub.Hold(chess)
		r.hub.Settle(chess, r.tail(chess))
		r.hub.JoinWithHistory(c, chess, nil)
		r.hub.Release(chess)
		return nil
	})
	k.send(`{"type":"start"}`)
	k.expect("group:chess", "brought", "brought", "between")
}

// A repair gives what it reads to all followers at once; who has left is not among them.
func TestRepairIsAheadOfALeave(t *testing.T) {
	r := newRig(t)
	k, other := r.connect("ann", true, "chess"), r.connect("bob", true, "chess")
	r.publish(chess, message("before"))
	k.expect("group:chess", "before")
	r.drop(chess, "sent after the leave")
	left := make(chan *Departure, 1)
	r.onHeard(func() error { left <- r.hub.Leaving("ann", "chess", at(10, 1)); return nil })
	r.verify()
	other.expect("group:chess", "before", "sent after the leave")
	leave := await(t, "the leave", left)
	r.hub.Leave(k.conn, chess)
	r.hub.Left(leave)
	k.waitLast("left")
	k.expect("group:chess", "before")
}

// What was read for a repair before memberships were doubted is not given before they have been compared.
func TestRepairIsAheadOfADoubt(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true, "chess")
	r.drop(chess, "a")
	asked := make(chan struct{})
	r.onHeard(func() error { defer close(asked); r.hub.HoldGroups(); return nil })
	r.verify()
	await(t, "the subscription is asked for", asked)
	eventually(t, "the repair is put off", func() bool {
		s := r.hub.shard(chess)
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.topics[chess].repairing && len(s.topics[chess].queue) == 0
	})
	r.publish(ann, message("direct"))
	k.expect("inbox", "direct")
	k.expect("group:chess")
	r.hub.ReleaseGroups()
	k.expect("group:chess", "a")
}

// While the subscription is interrupted, and until memberships have been compared, nothing is given; then everything is.
func TestLogOfAGroupWaitsForTheSubscription(t *testing.T) {
	for name, inDoubt := range map[string]func(*Hub) error{
		"interrupted":   func(*Hub) error { return errors.New("interrupted") },
		"not compared":  func(h *Hub) error { h.HoldGroups(); return nil },
		"both at first": func(h *Hub) error { h.HoldGroups(); return errors.New("interrupted") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c, k := r.behindWith("b", "c")
			asked := make(chan struct{})
			r.onHeard(func() error { defer close(asked); return inDoubt(r.hub) })
			k.send(`{"type":"start"}`)
			await(t, "the subscription is asked for", asked)
			r.drop(chess, "d")
			eventually(t, "the turn is over", func() bool { return c.catching.Load() != working })
			r.publish(ann, message("direct"))
			k.expect("inbox", "direct")
			k.expect("group:chess", "brought")
			r.hub.ReleaseGroups()
			r.verify()
			k.expect("group:chess", "brought", "b", "c", "d")
		})
	}
}

// Readers of what the subscription has brought do not ask for it, and what one has asked for serves all.
func TestWhatWasBroughtIsNotAskedFor(t *testing.T) {
	r := newRig(t)
	var clients []*client
	for i := range 3 {
		c := r.admit(Info{ClientID: fmt.Sprint("c", i), ID: fmt.Sprint("conn-c", i)}, "chess")
		clients = append(clients, r.dial(c, true).read())
	}
	want := numbers("m", 0, 3*connBatch)
	for _, id := range want {
		r.publish(chess, message(id))
	}
	eventually(t, "all have arrived", func() bool {
		s := r.hub.shard(chess)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.topics[chess].head.Seq == uint64(len(want))
	})
	clients[0].send(`{"type":"start"}`)
	clients[0].expect("group:chess", want...)
	if n := r.timesAsked(); n != 0 {
		t.Errorf("the subscription was asked for %d times", n)
	}
	r.drop(chess, "x")
	want = append(want, "x")
	for _, k := range clients[1:] {
		k.send(`{"type":"start"}`)
		k.expect("group:chess", want...)
	}
	if n := r.timesAsked(); n != 1 {
		t.Errorf("the subscription was asked for %d times, want once", n)
	}
}

func TestOnlyGroupsWaitForTheSubscription(t *testing.T) {
	r := newRig(t)
	r.heard = func() error { return errors.New("interrupted") }
	c := r.admit(Info{ClientID: "ann", ID: "conn-ann"})
	k := r.dial(c, true).read()
	r.drop(ann, "a")
	r.drop(protocol.AllStream(), "b")
	r.verify()
	k.send(`{"type":"start"}`)
	k.expect("inbox", "a")
	k.expect("all", "b")
}
