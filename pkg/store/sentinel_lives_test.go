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

// Sentinels replace a master that lives, there and back. For seconds it goes on as a master, and nobody tells it anything: who
// follows it hears nothing, and has to find that out. When it becomes the master again it still knows the scripts of its first life.
func TestSentinelsReplaceAMasterThatLives(t *testing.T) {
	t.Parallel()
	set, s, h := onSentinels(t)
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
	set, s, h := onSentinels(t)
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

// The way to keep a master that was cut off from taking what will be lost.
func TestAMasterWithTooFewReplicasTakesNothing(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	s := open(t, Options{URL: srv.URL()})
	send(t, s, "ann", "0")
	srv.Do("CONFIG", "SET", "min-replicas-to-write", "1")
	_, err := s.PublishInbox(ctxb, message("1"), []string{"ann"}, false)
	wantUnavailable(t, err)
	if got := stored(t, s, protocol.InboxOf("ann")); !slices.Equal(got, []string{"0"}) {
		t.Errorf("the inbox has %v", got)
	}
	follow(t, redistest.Start(t), srv)
	sendWhenTaken(t, s, "ann", "2")
}
