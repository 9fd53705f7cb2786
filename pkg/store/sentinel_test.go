package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// sendWhenTaken sends to one inbox as soon as Redis takes it; until then it has to say that it is away.
func sendWhenTaken(t *testing.T, s *Store, to, id string) (pos protocol.Position) {
	t.Helper()
	eventuallyWithin(t, time.Minute, id+" is taken", func() bool {
		rs, err := s.PublishInbox(ctxb, message(id), []string{to}, false)
		if err != nil {
			wantUnavailable(t, err)
			return false
		}
		pos = rs[0].Pos
		return true
	})
	return pos
}

// wantFollowed waits until the channels of imservers are followed on one server of a set and on no other.
func wantFollowed(t *testing.T, s *Store, set *redistest.Sentinels, master *redistest.Server) {
	t.Helper()
	eventuallyWithin(t, time.Minute, "all channels are followed on the master", func() bool {
		return len(master.List("PUBSUB", "CHANNELS", "im:*")) == len(allChannels(s))
	})
	for _, srv := range set.Servers {
		if srv != master && srv.Running() && len(srv.List("PUBSUB", "CHANNELS", "im:*")) > 0 {
			t.Errorf("channels are followed on %s, the master is %s", srv.Addr, master.Addr)
		}
	}
}

// onSentinels runs a master with a replica, and opens a Store that hears all that imservers follow.
func onSentinels(t *testing.T) (*redistest.Sentinels, *Store, *ear) {
	t.Helper()
	set := redistest.StartSentinels(t, 1)
	s := openHasty(t, Options{URL: set.URL()})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	return set, s, h
}

// waitFollowed waits for a story that takes as long as servers need to agree.
func (e *ear) waitFollowed(t testing.TB, story ...string) {
	t.Helper()
	eventuallyWithin(t, time.Minute, "everything is followed again", func() bool { return slices.Equal(e.happened(), story) })
}

func wantNewLife(t *testing.T, before, after protocol.Position) {
	t.Helper()
	if after.Epoch <= before.Epoch || after.Seq != 1 {
		t.Errorf("%v comes after %v: that is no new life", after, before)
	}
}

// A master dies and its replica, which has copied everything, takes its place. The first comes back, as a replica, and takes its
// place again when the other dies in turn.
func TestSentinelsReplaceAMasterAndItsSuccessor(t *testing.T) {
	t.Parallel()
	set, s, h := onSentinels(t)
	first := set.Servers[0]
	wantFollowed(t, s, set, first)
	before := send(t, s, "ann", "0")
	h.waitFor(t, "0")
	set.Settled(t, first)
	want, story := []string{"0"}, []string(nil)
	for round, master := range []*redistest.Server{first, set.Servers[1]} {
		master.Kill()
		died := time.Now()
		_, err := s.PublishInbox(ctxb, message("nobody takes this"), []string{"ann"}, false)
		wantUnavailable(t, err)
		id := fmt.Sprint("during ", round)
		after := sendWhenTaken(t, s, "ann", id)
		t.Logf("messages are taken %v after the master's death", time.Since(died))
		wantNewLife(t, before, after)
		story = append(story, "lost", "restored")
		h.waitFollowed(t, story...)
		t.Logf("everything is followed %v after the master's death", time.Since(died))
		promoted := set.Promoted(t, master)
		wantFollowed(t, s, set, promoted)
		back := fmt.Sprint("after ", round)
		before = send(t, s, "ann", back)
		h.waitFor(t, back)
		want = append(want, id, back)

		if master != first {
			break
		}
		master.Restart()
		set.Settled(t, promoted)
		wantFollowed(t, s, set, promoted)
		again := fmt.Sprint("with a replica ", round)
		if pos := send(t, s, "ann", again); !before.Next(pos) {
			t.Errorf("%v follows %v, and only a replica came", pos, before)
		} else {
			before = pos
		}
		h.waitFor(t, again)
		want = append(want, again)
		set.Settled(t, promoted)
	}
	if story := h.happened(); len(story) != 4 {
		t.Errorf("story: %v", story)
	}
	if got := stored(t, s, protocol.InboxOf("ann")); !slices.Equal(got, want) {
		t.Errorf("the inbox has %v, want %v", got, want)
	}
}

// A replica that lags is promoted: what was answered with success is gone, and its positions are never given out again. The sentinel
// that the client listens to dies with the master, as where they share a machine.
func TestSentinelsPromoteAReplicaThatLags(t *testing.T) {
	t.Parallel()
	set, s, h := onSentinels(t)
	send(t, s, "ann", "copied")
	master, replica := set.Servers[0], set.Servers[1]
	set.Settled(t, master)
	set.CutOff(t, replica, master)
	var last protocol.Position
	for i := range 10 {
		last = send(t, s, "ann", fmt.Sprint("lost ", i))
	}
	h.waitFor(t, "lost 9")
	set.EndHeard(t)
	master.Kill()
	died := time.Now()
	replica.Resume()
	after := sendWhenTaken(t, s, "ann", "after")
	t.Logf("messages are taken %v after the master's death", time.Since(died))
	wantNewLife(t, last, after)
	h.waitFollowed(t, "lost", "restored")
	send(t, s, "ann", "at last")
	h.waitFor(t, "at last")
	if got := stored(t, s, protocol.InboxOf("ann")); !slices.Equal(got, []string{"copied", "after", "at last"}) {
		t.Errorf("the inbox has %v", got)
	}
}

// A master that stands still is replaced, and then goes on where it stopped, as a master until the sentinels notice.
func TestSentinelsReplaceAMasterThatStandsStill(t *testing.T) {
	t.Parallel()
	set, s, h := onSentinels(t)
	before := send(t, s, "ann", "0")
	h.waitFor(t, "0")
	master := set.Servers[0]
	set.Settled(t, master)
	master.Pause()
	stopped := time.Now()
	after := sendWhenTaken(t, s, "ann", "1")
	t.Logf("messages are taken %v after the master stood still", time.Since(stopped))
	wantNewLife(t, before, after)
	h.waitFollowed(t, "lost", "restored")
	t.Logf("everything is followed %v after the master stood still", time.Since(stopped))
	master.Resume()
	for i, last := 2, after; i < 100; i++ {
		pos := sendWhenTaken(t, s, "ann", fmt.Sprint(i))
		if !last.Next(pos) {
			t.Errorf("%v comes after %v", pos, last)
		}
		last = pos
	}
	h.waitFor(t, "99")
	set.Settled(t, set.Promoted(t, master))
	wantFollowed(t, s, set, set.Servers[1])
	h.waitStory(t, "lost", "restored")
	if got := stored(t, s, protocol.InboxOf("ann")); len(got) != 100 {
		t.Errorf("the inbox has %v", got)
	}
}
