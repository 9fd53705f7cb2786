package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func request(client, id string) Request {
	return Request{ID: id, ClientID: client, Origin: "o-" + client, Data: json.RawMessage(`1`)}
}

func putRequest(t testing.TB, s *Store, r Request) error {
	t.Helper()
	return s.Request(ctxb, []Request{r})[0]
}

// answering runs a consumer of requests; the returned function ends it and waits.
func answering(t testing.TB, s *Store, group string, h func(context.Context, Request) []byte) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctxb)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.ConsumeRequests(ctx, group, "x", h, ConsumeOptions{Workers: 2}); !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// replied returns the answer that is kept for a client's session.
func replied(t testing.TB, s *Store, client, id string) string {
	t.Helper()
	return keptReplies(t, s, client)[id]
}

// keptReplies returns all of them, by the ids of the requests.
func keptReplies(t testing.TB, s *Store, client string) map[string]string {
	t.Helper()
	replies, err := s.Replies(ctxb, client, "o-"+client)
	must(t, err)
	m := make(map[string]string, len(replies))
	for _, r := range replies {
		m[r.ID] = r.Frame
	}
	return m
}

func echo(_ context.Context, r Request) []byte { return []byte("re " + r.ID) }

func TestRequestNeedsAHandler(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		if err := putRequest(t, s, request("ann", "1")); !errors.Is(err, ErrNoHandler) {
			t.Fatalf("got %v", err)
		}
		answering(t, s, "g", echo)
		eventually(t, "a handler", func() bool { return putRequest(t, s, request("ann", "2")) == nil })
		eventually(t, "the answer", func() bool { return replied(t, s, "ann", "2") == "re 2" })
	})
}

// A consumer that died with requests in hand is replaced before their clients give up.
func TestRequestsOfADeadConsumerAreTakenOver(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		f := s.requestFeed()
		for _, err := range s.createGroups(ctxb, f, s.allPartitions(), "g", "$") {
			must(t, err)
		}
		dead := newConsumer(s, f, "g", "dead", 1)
		must(t, s.run(ctxb, consumersScript, []string{f.consumers("g")}, []string{dead.token, "1"}).Error())
		must(t, putRequest(t, s, request("ann", "1")))
		got, err := dead.workers[0].take(ctxb, s.Partition("ann"))
		must(t, err)
		wantEqual(t, "entries in hand", len(got.entries), 1)
		answering(t, s, "g", echo)
		began := time.Now()
		eventually(t, "the answer", func() bool { return replied(t, s, "ann", "1") == "re 1" })
		if took := time.Since(began); took > protocol.RequestTimeout {
			t.Errorf("taken over after %v", took)
		}
	})
}

func TestARequestIsAnsweredOnce(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	for _, group := range []string{"g", "h"} {
		for _, err := range s.createGroups(ctxb, s.requestFeed(), s.allPartitions(), group, "$") {
			must(t, err)
		}
	}
	r, p := request("ann", "1"), s.Partition("ann")
	must(t, putRequest(t, s, r))
	var ids []string
	for _, group := range []string{"g", "h"} {
		got, err := newConsumer(s, s.requestFeed(), group, "", 1).workers[0].take(ctxb, p)
		must(t, err)
		ids = append(ids, got.entries[0].id)
	}
	must(t, s.answer(ctxb, p, "g", ids[0], &r, []byte("first")))
	must(t, s.answer(ctxb, p, "h", ids[1], &r, []byte("second")))
	wantEqual(t, "answer", replied(t, s, "ann", "1"), "first")
}

// One that stops gives its requests to the others at once, and those it was working on, unanswered.
func TestAStoppedConsumerLeavesItsRequests(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	working := make(chan struct{}, 1)
	stop := answering(t, s, "g", func(ctx context.Context, _ Request) []byte {
		working <- struct{}{}
		<-ctx.Done()
		return nil
	})
	eventually(t, "a handler", func() bool { return putRequest(t, s, request("ann", "1")) == nil })
	<-working
	stop()
	answering(t, s, "g", echo)
	eventually(t, "the answer", func() bool { return replied(t, s, "ann", "1") == "re 1" })
}

func TestRequestsAreBounded(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for _, err := range s.createGroups(ctxb, s.requestFeed(), s.allPartitions(), "g", "$") {
			must(t, err)
		}
		many := make([]Request, maxRequests+1)
		for i := range many {
			many[i] = request("ann", fmt.Sprint(i))
		}
		errs := s.Request(ctxb, many)
		for i, err := range errs[:maxRequests] {
			if err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
		}
		if !errors.Is(errs[maxRequests], ErrBusy) {
			t.Errorf("one too many: %v", errs[maxRequests])
		}
	})
}

// A session that goes on asking keeps its last answers only, and those are the ones it may have missed.
func TestKeptRepliesAreBounded(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for i := range 3 * maxReplies {
			r := request("ann", fmt.Sprint(i))
			must(t, s.answer(ctxb, s.Partition("ann"), "g", putDirectly(t, s, r), &r, []byte("re "+r.ID)))
		}
		m := keptReplies(t, s, "ann")
		wantEqual(t, "kept", len(m), maxReplies)
		for i := 2 * maxReplies; i < 3*maxReplies; i++ {
			wantEqual(t, "answer", m[fmt.Sprint(i)], fmt.Sprint("re ", i))
		}
	})
}

// putDirectly adds a request without a consumer group and returns its place.
func putDirectly(t testing.TB, s *Store, r Request) string {
	t.Helper()
	text, err := json.Marshal(&r)
	must(t, err)
	id, err := s.do(ctxb, s.client.B().Xadd().Key(s.keys.requests(s.Partition(r.ClientID))).Id("*").
		FieldValue().FieldValue(requestField, string(text)).Build()).ToString()
	must(t, err)
	return id
}

// A slow request delays no other, and no more of them are handled than the consumer allows.
func TestRequestsAreHandledSideBySide(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	block := make(chan struct{})
	var running, most atomic.Int32
	answering(t, s, "g", func(ctx context.Context, r Request) []byte {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		if r.ID == "slow" {
			select {
			case <-block:
			case <-ctx.Done():
			}
		}
		return echo(ctx, r)
	})
	eventually(t, "a handler", func() bool { return putRequest(t, s, request("ann", "slow")) == nil })
	for i := range 10 {
		must(t, putRequest(t, s, request("ann", fmt.Sprint(i))))
	}
	for i := range 10 {
		eventually(t, "answers of the others", func() bool { return replied(t, s, "ann", fmt.Sprint(i)) != "" })
	}
	wantEqual(t, "the slow one's answer", replied(t, s, "ann", "slow"), "")
	close(block)
	eventually(t, "the slow one's answer", func() bool { return replied(t, s, "ann", "slow") == "re slow" })
	if n := most.Load(); n > 2 {
		t.Errorf("%d handlers at once", n)
	}
}

// Nobody waits any more for a request that is found too late.
func TestOldRequestsAreNotHandled(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	for _, err := range s.createGroups(ctxb, s.requestFeed(), s.allPartitions(), "g", "$") {
		must(t, err)
	}
	r := request("ann", "old")
	text, err := json.Marshal(r)
	must(t, err)
	old := fmt.Sprintf("%d-0", time.Now().Add(-protocol.RequestTimeout-time.Second).UnixMilli())
	must(t, s.do(ctxb, s.client.B().Xadd().Key(s.keys.requests(s.Partition("ann"))).Id(old).
		FieldValue().FieldValue(requestField, string(text)).Build()).Error())
	answering(t, s, "g", func(_ context.Context, r Request) []byte {
		t.Errorf("handled %s", r.ID)
		return nil
	})
	want := string(protocol.RefusalFrame("old", protocol.Refuse(protocol.RefusedTimeout)))
	eventually(t, "its client is told", func() bool { return replied(t, s, "ann", "old") == want })
}
