package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func (e *ear) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.messages)
}

// What was published on another connection before has been passed on, without waiting for it any more.
func TestHeardMeansPassedOn(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, Options{URL: srv.URL()})
	h := hear(t, s)
	h.subscribe(t, "one", "two")
	want := 0
	for round := range 50 {
		for i := range 20 {
			c := [2]string{"one", "two"}[i%2]
			must(t, s.do(ctxb, s.client.B().Publish().Channel(c).Message(fmt.Sprint(round)).Build()).Error())
			want++
		}
		must(t, h.sub.Heard(ctxb))
		if got := h.count(); got != want {
			t.Fatalf("round %d: %d messages were passed on, want %d", round, got, want)
		}
	}
}

// A leave that was answered has been announced, whichever partitions client and group are in.
func TestHeardAfterALeave(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	h := hear(t, s)
	for p := range s.Partitions() {
		h.subscribe(t, s.ClientChannel(p))
	}
	for i := range 20 {
		id, group := fmt.Sprint("client", i), fmt.Sprint("group", i)
		_, err := s.Join(ctxb, group, []string{id}, JoinOptions{})
		must(t, err)
		_, err = s.Leave(ctxb, group, []string{id})
		must(t, err)
		must(t, h.sub.Heard(ctxb))
		all := h.take()
		if n := len(all); n != 2 || string(all[1].payload) != "L\n"+id+"\n"+group+"\n"+empty(t, s, protocol.GroupOf(group)).String()+"\n" {
			t.Fatalf("heard %q", all)
		}
	}
}

func TestNothingIsHeardWithoutASubscription(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, Options{URL: srv.URL()})
	wantUnavailable(t, s.NewSubscriber(&ear{}).Heard(ctxb))
	h := hear(t, s)
	h.subscribe(t, "one")
	must(t, h.sub.Heard(ctxb))

	// Who waits while Redis is silent is told when the connection is given up, or when it has waited for too long.
	canceled, cancel := context.WithCancel(ctxb)
	cancel()
	srv.Pause()
	if err := h.sub.Heard(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	short, cancel := context.WithTimeout(ctxb, 50*time.Millisecond)
	defer cancel()
	wantUnavailable(t, h.sub.Heard(short))
	wantUnavailable(t, h.sub.Heard(ctxb))
	h.waitStory(t, "lost")
	srv.Resume()
	h.waitStory(t, "lost", "restored")
	must(t, h.sub.Heard(ctxb))

	srv.Kill()
	h.waitStory(t, "lost", "restored", "lost")
	wantUnavailable(t, h.sub.Heard(ctxb))
}

// Many who ask at once share their pings.
func TestManyWaitForOnePing(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, Options{URL: srv.URL()})
	h := hear(t, s)
	h.subscribe(t, "one")
	srv.Pause()
	var wg sync.WaitGroup
	var asked atomic.Int32
	wait := func() {
		asked.Add(1)
		if err := h.sub.Heard(ctxb); err != nil {
			t.Error(err)
		}
	}
	waits := func(r **round) func() bool {
		return func() bool {
			h.only().mu.Lock()
			defer h.only().mu.Unlock()
			return *r != nil
		}
	}
	wg.Go(wait)
	eventually(t, "a ping is under way", waits(&h.only().pings.open))
	for range 100 {
		wg.Go(wait)
	}
	eventually(t, "all have asked", func() bool { return asked.Load() == 101 })
	eventually(t, "others wait for the next one", waits(&h.only().pings.next))
	srv.Resume()
	wg.Wait()
	_, rest, _ := strings.Cut(srv.Do("INFO", "commandstats"), "cmdstat_ping:calls=")
	text, _, _ := strings.Cut(rest, ",")
	if n, err := strconv.Atoi(text); err != nil || n > 50 {
		t.Errorf("%d pings, %v", n, err)
	}
}

// What is published while Redis is silent may be missed from the beginning of the silence on, and not only when it is noticed.
func TestCompleteEndsWithTheSilence(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, Options{URL: srv.URL()})
	if at := s.NewSubscriber(&ear{}).Complete(); !at.IsZero() {
		t.Errorf("complete up to %v without a connection", at)
	}
	h := hear(t, s)
	h.subscribe(t, "one")
	began := time.Now()
	for range 3 {
		must(t, h.sub.Heard(ctxb))
		if at := h.sub.Complete(); at.Before(began) || at.After(time.Now()) {
			t.Errorf("complete up to %v, asked at %v", at, began)
		}
		began = h.sub.Complete()
	}
	srv.Pause()
	silent := time.Now()
	h.waitStory(t, "lost")
	if at := h.sub.Complete(); at.After(silent) {
		t.Errorf("complete up to %v, silent since %v", at, silent)
	}
	srv.Resume()
	h.waitStory(t, "lost", "restored")
	must(t, h.sub.Heard(ctxb))
	if at := h.sub.Complete(); at.Before(silent) {
		t.Errorf("complete up to %v after it was restored", at)
	}
}

// A PING without a round is under way while somebody asks: what has been heard is complete up to the one of that round.
func TestCompleteIsNotBeforeTheRound(t *testing.T) {
	f := &follower{}
	f.ping(nil)
	asked := time.Now()
	f.pings.next = &round{over: make(chan struct{})}
	f.pingRound(nil)
	f.ponged()
	if at := f.completeAt(); at.After(asked) {
		t.Errorf("complete up to %v before the round, which began after %v, is over", at, asked)
	}
	f.ponged()
	if at := f.completeAt(); at.Before(asked) {
		t.Errorf("complete up to %v after the round that began after %v", at, asked)
	}
}

// only is the ear's follower of the only server.
func (e *ear) only() *follower {
	e.sub.mu.Lock()
	defer e.sub.mu.Unlock()
	return e.sub.followers[anyServer]
}
