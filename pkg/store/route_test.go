package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
)

// planned is a Subscriber of a Cluster whose followers have no connections: what servers say the tests say.
func planned(t *testing.T, channels ...string) *ear {
	t.Helper()
	s := &Store{cluster: true, keys: newKeyspace(16)}
	e := &ear{}
	e.sub = s.NewSubscriber(e)
	e.sub.spawn = func(f *follower) { f.cancel = func() {} }
	canceled, cancel := context.WithCancel(ctxb)
	cancel()
	if e.sub.Subscribe(canceled, channels...) == nil {
		t.Fatal("subscribed without a connection")
	}
	e.sub.assign(allAt("a"))
	for _, ch := range channels {
		e.confirm(ch)
	}
	return e
}

// allAt are the slots when one server has them all.
func allAt(addr string) slots { return slots{{0, 16383, addr}} }

// confirm has the follower of a channel write what it has to, and be answered.
func (e *ear) confirm(channel string) {
	f := e.sub.of(channel)
	f.commands(nil)
	f.answered(channel, true)
}

func (b *Subscriber) of(channel string) *follower {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.channels[channel]
}

// troubled tells what keeps the Receiver from being told that all is well.
func (b *Subscriber) troubled() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.lost && len(b.troubles) == 0 {
		return ""
	}
	return fmt.Sprintf("lost: %v, troubles: %v", b.lost, b.troubles)
}

// A server leaves a channel while its new server is found, or while it is unsubscribed.
func TestAChannelThatIsDroppedWhileItMoves(t *testing.T) {
	for what, meanwhile := range map[string]func(b *Subscriber){
		"assigned":     func(b *Subscriber) { b.assign(allAt("b")) },
		"unsubscribed": func(b *Subscriber) { b.Unsubscribe("x") },
	} {
		t.Run(what, func(t *testing.T) {
			for range 5000 {
				e := planned(t, "x", "y")
				f := e.sub.of("x")
				var wg sync.WaitGroup
				wg.Go(func() { f.answered("x", false) })
				wg.Go(func() { meanwhile(e.sub) })
				wg.Wait()
				e.sub.assign(allAt("b"))
				for _, ch := range []string{"x", "y"} {
					if e.sub.of(ch) != nil {
						e.confirm(ch)
					}
				}
				if trouble := e.sub.troubled(); trouble != "" {
					t.Fatal(trouble)
				}
			}
		})
	}
}

// An answer that is out of date takes a channel to another server and the next one back, before any server was told.
func TestAChannelThatComesBackAtOnce(t *testing.T) {
	e := planned(t, "x", "y")
	slot := protocol.Slot("x")
	e.sub.assign(slots{{0, slot - 1, "a"}, {slot, slot, "b"}, {slot + 1, 16383, "a"}})
	e.sub.assign(allAt("a"))
	e.sub.over(e.sub) // as route does
	for _, ch := range []string{"x", "y"} {
		if out := e.sub.of(ch).commands(nil); len(out) > 0 {
			t.Errorf("the server is told %q", out)
		}
	}
	if trouble := e.sub.troubled(); trouble != "" {
		t.Error(trouble)
	}
	if story := e.happened(); !slices.Equal(story, []string{"lost", "restored"}) {
		t.Errorf("story: %v", story)
	}
}

// What the old server's connection still brings belongs before what the new one has brought.
func TestALateMessageOfAChannelThatHasMoved(t *testing.T) {
	e := planned(t, "x")
	old := e.sub.of("x")
	e.sub.message(old, "x", []byte("1"))
	e.sub.assign(allAt("b"))
	e.confirm("x")
	e.sub.message(e.sub.of("x"), "x", []byte("3"))
	e.sub.message(old, "x", []byte("2"))
	var got []string
	for _, m := range e.take() {
		got = append(got, string(m.payload))
	}
	if !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("heard %v", got)
	}
}

// Who has been told Lost is not told Restored before what it has wanted all the time is followed.
func TestRestoredWhenAllIsFollowed(t *testing.T) {
	s := &Store{cluster: true, keys: newKeyspace(16)}
	e := &ear{}
	e.sub = s.NewSubscriber(e)
	e.sub.spawn = func(f *follower) { f.cancel = func() {} }
	canceled, cancel := context.WithCancel(ctxb)
	cancel()
	_ = e.sub.Subscribe(canceled, "x")
	e.sub.trouble(e.sub, errNotSubscribed) // the Cluster is away
	e.sub.assign(allAt("a"))
	e.sub.over(e.sub)
	if story := e.happened(); !slices.Equal(story, []string{"lost"}) {
		t.Errorf("story before it is followed: %v", story)
	}
	e.confirm("x")
	if story := e.happened(); !slices.Equal(story, []string{"lost", "restored"}) {
		t.Errorf("story: %v", story)
	}
}

// deafEar does not take messages until it is opened.
type deafEar struct {
	ear
	opened chan struct{}
}

func (d *deafEar) Message(channel string, payload []byte) {
	<-d.opened
	d.ear.Message(channel, payload)
}

// A message that a channel's new server has published may not have been heard although the old one has answered.
func TestNothingIsHeardOfAChannelThatHasMoved(t *testing.T) {
	c := shared.Cluster(t)
	s := open(t, Options{URL: c.URL()})
	d := &deafEar{opened: make(chan struct{})}
	sub := s.NewSubscriber(d)
	ctx, cancel := context.WithCancel(ctxb)
	var wg sync.WaitGroup
	wg.Go(func() { _ = sub.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	patient, end := context.WithTimeout(ctxb, patience)
	defer end()
	must(t, sub.Subscribe(patient, allChannels(s)...))
	send(t, s, "ann", "before") // the connection to the old server stands still from here on
	slot := slotOf(s, "ann")
	c.Move(t, slot, other(t, c, slot))
	send(t, s, "ann", "after")
	f := sub.of(s.ClientChannel(s.Partition("ann")))
	heard := make(chan error, 1)
	go func() { heard <- sub.Heard(patient) }()
	eventually(t, "it is asked", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.pings.open != nil || f.pings.next != nil })
	close(d.opened)
	if err := <-heard; err == nil && !slices.Contains(d.ids(), "after") && !slices.Contains(d.happened(), "restored") {
		t.Errorf("heard everything, but only %v", d.ids())
	} else {
		t.Logf("Heard: %v, %v", err, d.ids())
	}
}
