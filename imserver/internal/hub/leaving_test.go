package hub

import (
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
	conns := r.hub.Leaving("ann", "chess")
	r.publish(chess, message("after"))
	other.expect("group:chess", "before", "after")
	for _, c := range conns {
		r.hub.Leave(c, chess)
	}
	r.hub.Left(conns, "chess")
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

// A connection that is being read to from the log is withheld from as well.
func TestWhoIsLeavingGetsNothingFromTheLog(t *testing.T) {
	r := newRig(t)
	c := r.admit(Info{ClientID: "ann", ID: "conn-late"}, "chess")
	r.publish(chess, message("missed"))
	k := r.dial(c, true).read()
	conns := r.hub.Leaving("ann", "chess")
	k.send(`{"type":"start"}`)
	k.wait("started", func(all []got) bool { return len(all) == 2 && all[1].Type == "started" })
	r.publish(ann, message("direct"))
	k.expect("inbox", "direct")
	r.hub.Leave(c, chess)
	r.hub.Left(conns, "chess")
	k.wait("left", func(all []got) bool { return len(all) > 0 && all[len(all)-1].Type == "left" })
	k.expect("group:chess")
}

func TestLeavingTwice(t *testing.T) {
	var l leavings
	l.add("chess", 1)
	l.add("chess", 1)
	l.add("chess", -1)
	if !l.has(chess) || l.has(protocol.GroupOf("go")) || l.has(protocol.InboxOf("chess")) {
		t.Error("after two announcements and one end only chess is withheld")
	}
	l.add("chess", -1)
	if l.has(chess) || l.groups != nil {
		t.Errorf("something is left: %v", l.groups)
	}
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
