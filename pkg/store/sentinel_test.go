package store

import (
	"context"
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
	set := redistest.StartSentinels(t, 1)
	s := openHasty(t, Options{URL: set.URL()})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
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
		eventuallyWithin(t, time.Minute, "everything is followed again", func() bool { return slices.Equal(h.happened(), story) })
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

// A replica that lags is promoted: what was answered with success is gone, and its positions are never given out again.
func TestSentinelsPromoteAReplicaThatLags(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t, 1)
	s := openHasty(t, Options{URL: set.URL()})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	send(t, s, "ann", "copied")
	master, replica := set.Servers[0], set.Servers[1]
	set.Settled(t, master)
	set.CutOff(t, replica, master)
	var last protocol.Position
	for i := range 10 {
		last = send(t, s, "ann", fmt.Sprint("lost ", i))
	}
	h.waitFor(t, "lost 9")
	master.Kill()
	replica.Resume()
	after := sendWhenTaken(t, s, "ann", "after")
	wantNewLife(t, last, after)
	eventuallyWithin(t, time.Minute, "everything is followed again", func() bool { return slices.Equal(h.happened(), []string{"lost", "restored"}) })
	send(t, s, "ann", "at last")
	h.waitFor(t, "at last")
	if got := stored(t, s, protocol.InboxOf("ann")); !slices.Equal(got, []string{"copied", "after", "at last"}) {
		t.Errorf("the inbox has %v", got)
	}
}

// Sentinels replace a master that lives, there and back. For seconds it goes on as a master, and nobody tells it anything: who
// follows it hears nothing, and has to find that out. When it becomes the master again it still knows the scripts of its first life.
func TestSentinelsReplaceAMasterThatLives(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t, 1)
	s := openHasty(t, Options{URL: set.URL()})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	last := send(t, s, "ann", "0")
	sent := []string{"0"}
	for round, master := range set.Servers {
		h.forget()
		began, epoch := time.Now(), last.Epoch
		var switched time.Time // zero: messages are taken by the one that was
		set.Failover(t)
		eventuallyWithin(t, time.Minute, "everything is followed on the new master", func() bool {
			before, id := h.happened(), fmt.Sprint(round, "/", len(sent))
			rs, err := s.PublishInbox(ctxb, message(id), []string{"ann"}, false)
			if err != nil {
				wantUnavailable(t, err)
			} else {
				if !last.Less(rs[0].Pos) {
					t.Fatalf("%v comes after %v", rs[0].Pos, last)
				}
				last, sent = rs[0].Pos, append(sent, id)
				if switched.IsZero() && last.Epoch > epoch {
					switched = time.Now()
				}
				h.wantHeardIfSaid(t, id, before)
			}
			if !switched.IsZero() && time.Since(switched) > 5*masterInterval {
				t.Fatalf("%v after messages went to the new master: %v", time.Since(switched), h.happened())
			}
			return slices.Equal(h.happened(), []string{"lost", "restored"})
		})
		t.Logf("messages go to the new master %v after the order, and are heard after %v", switched.Sub(began), time.Since(began))
		promoted := set.Promoted(t, master)
		wantFollowed(t, s, set, promoted)
		id := fmt.Sprint(round, "/last")
		last, sent = sendWhenTaken(t, s, "ann", id), append(sent, id)
		h.waitFor(t, id)
		if last.Epoch <= epoch {
			t.Errorf("%v comes after the epoch %d: that is no new life", last, epoch)
		}
		set.Settled(t, promoted)
		wantFollowed(t, s, set, promoted)
		h.waitStory(t, "lost", "restored")
	}
	h.wantNoSilentGap(t, sent)
}

// wantHeardIfSaid checks that what was just sent has been heard if Heard says that everything has, unless the subscription has been
// interrupted since before.
func (e *ear) wantHeardIfSaid(t *testing.T, id string, before []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctxb, masterInterval)
	defer cancel()
	if e.sub.Heard(ctx) == nil && slices.Equal(e.happened(), before) && !slices.Contains(e.ids(), id) {
		t.Errorf("%s is said to have been heard, and was not", id)
	}
}

// Without sentinels nobody says who the master is. The one that was goes on; should it be made a replica by hand, then nothing is
// loaded on it, nor is it followed: what it passes on of its master's comes late and with gaps.
func TestAMasterWithoutSentinelsThatBecomesAReplicaIsNotUsed(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t, 1)
	s := openHasty(t, Options{URL: set.URL()})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	set.Blind()
	master, other := set.Servers[0], set.Servers[1]
	<-time.After(2 * masterInterval)
	send(t, s, "ann", "0")
	h.waitFor(t, "0")
	must(t, s.Confirm(ctxb))
	if story := h.happened(); len(story) > 0 {
		t.Fatalf("story: %v", story)
	}

	other.Do("REPLICAOF", "NO", "ONE")
	follow(t, master, other)
	master.Do("CLIENT", "KILL", "TYPE", "pubsub") // as sentinels do
	master.Do("SCRIPT", "FLUSH")
	h.waitStory(t, "lost")
	_, err := s.PublishInbox(ctxb, message("1"), []string{"ann"}, false)
	wantUnavailable(t, err)
	wantUnavailable(t, s.Confirm(ctxb))
	wantUnavailable(t, h.sub.Heard(ctxb))
	<-time.After(2 * backoffLast) // for another attempt to follow
	h.waitStory(t, "lost")
	if n := infoField(master.Do("INFO", "memory"), "number_of_cached_scripts"); n != "0" {
		t.Errorf("%s scripts were loaded on a replica", n)
	}

	master.Do("REPLICAOF", "NO", "ONE")
	h.waitStory(t, "lost", "restored")
	sendWhenTaken(t, s, "ann", "2")
	h.waitFor(t, "2")
}

// forget begins a new story.
func (e *ear) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.story = nil
}

// wantNoSilentGap checks that of messages that were sent one after the other to one channel none is missing between two that were
// heard, unless it was told in between that messages are missed.
func (e *ear) wantNoSilentGap(t *testing.T, sent []string) {
	t.Helper()
	e.mu.Lock()
	restored := slices.Clone(e.restored)
	e.mu.Unlock()
	last := -1 // index in sent of what was heard last
	for n, id := range e.ids() {
		i := slices.Index(sent, id)
		if i < 0 {
			continue
		}
		if i > last+1 && last >= 0 && !slices.ContainsFunc(restored, func(r int) bool { return r == n }) {
			t.Errorf("%s was heard after %s, and nothing told that messages are missed", id, sent[last])
		}
		last = i
	}
}
