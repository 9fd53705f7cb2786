package imhelper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// ack acknowledges as a client's node would.
func (h *Helper) ack(t testing.TB, clientID string, pos protocol.Position, read ...string) {
	t.Helper()
	a := store.Ack{ClientID: clientID, Device: "web", Read: read}
	if !pos.IsZero() {
		a.Pos = map[string]protocol.Position{"inbox": pos}
	}
	if err := h.store.Acknowledge(context.Background(), []store.Ack{a}); err != nil {
		t.Error(err)
	}
}

// tail waits until a client's inbox has n messages and returns the last one's position.
func (h *Helper) tail(t testing.TB, clientID string, n int) (last protocol.Position) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		entries, err := h.store.After(context.Background(), protocol.InboxOf(clientID), protocol.Position{}, 100)
		if err != nil {
			t.Error(err)
			return last
		}
		if len(entries) >= n {
			return entries[n-1].Pos
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("%s has no %d messages", clientID, n)
			return last
		}
	}
}

func states(r *SendResult) (all []State) {
	for _, d := range r.Results {
		all = append(all, d.State)
	}
	return all
}

func waiting(receipt Receipt, d time.Duration, to ...string) Message {
	return Message{To: to, From: "sender", Data: json.RawMessage("1"), Receipt: receipt, Wait: d}
}

func TestSendWaitsForEveryReceiver(t *testing.T) {
	h, _ := start(t)
	for name, c := range map[string]struct {
		receipt Receipt
		act     func(to []string, pos []protocol.Position, id string)
		wait    time.Duration
		want    []State
	}{
		"delivered": {ReceiptDelivered, func(to []string, pos []protocol.Position, _ string) {
			h.ack(t, to[0], pos[0])
			h.ack(t, to[1], pos[1])
		}, 20 * time.Second, []State{StateDelivered, StateDelivered}},
		"without a receipt": {ReceiptNone, func(to []string, pos []protocol.Position, _ string) {
			h.ack(t, to[1], pos[1])
			h.ack(t, to[0], pos[0])
		}, 20 * time.Second, []State{StateDelivered, StateDelivered}},
		"read": {ReceiptRead, func(to []string, pos []protocol.Position, id string) {
			h.ack(t, to[0], pos[0])
			h.ack(t, to[0], protocol.Position{}, id)
			h.ack(t, to[1], protocol.Position{}, id)
		}, 20 * time.Second, []State{StateRead, StateRead}},
		"some": {ReceiptRead, func(to []string, pos []protocol.Position, id string) {
			h.ack(t, to[0], pos[0])
		}, 5 * time.Second, []State{StateDelivered, StateQueued}},
		"none": {ReceiptDelivered, func([]string, []protocol.Position, string) {}, 100 * time.Millisecond, []State{StateQueued, StateQueued}},
	} {
		t.Run(name, func(t *testing.T) {
			to := []string{"a " + name, "b " + name}
			m := waiting(c.receipt, c.wait, to...)
			m.ID = "id " + name
			var wg sync.WaitGroup
			wg.Go(func() { c.act(to, []protocol.Position{h.tail(t, to[0], 1), h.tail(t, to[1], 1)}, m.ID) })
			begin := time.Now()
			r, err := h.Send(t.Context(), m)
			took := time.Since(begin)
			wg.Wait()
			if err != nil {
				t.Fatal(err)
			}
			if got := states(r); !slices.Equal(got, c.want) {
				t.Errorf("states %v, want %v", got, c.want)
			}
			if all := slices.Contains(c.want, StateQueued); all && took < c.wait || !all && took > c.wait/2 {
				t.Errorf("it took %v of %v", took, c.wait)
			}
			hist, err := h.History(t.Context(), protocol.InboxOf("sender"), HistoryQuery{})
			if err != nil || len(hist.Messages) != 0 {
				t.Errorf("receipts are taken for messages: %+v, %v", hist, err)
			}
		})
	}
	if n, err := h.store.After(t.Context(), protocol.InboxOf("sender"), protocol.Position{}, 100); err != nil || len(n) != 2+3+1 {
		t.Errorf("%d receipts in the sender's inbox, %v", len(n), err) // delivered 2, read 1+2, some 1
	}
}

// Receipts lie between the messages of an inbox, and are no part of its history.
func TestHistoryIsFullInSpiteOfReceipts(t *testing.T) {
	h, _ := start(t)
	ctx := t.Context()
	want := []string{"m0", "m1", "m2"}
	for _, id := range want {
		if _, err := h.Send(ctx, Message{To: []string{"sender"}, ID: id, Data: json.RawMessage("1")}); err != nil {
			t.Fatal(err)
		}
		for i := range 9 {
			to := fmt.Sprint(id, "-", i)
			r, err := h.Send(ctx, waiting(ReceiptDelivered, 0, to))
			if err != nil {
				t.Fatal(err)
			}
			h.ack(t, to, r.Results[0].Pos)
		}
	}
	end := h.tail(t, "sender", 30) // all receipts are there
	for name, q := range map[string]HistoryQuery{"back": {}, "from the end": {Before: protocol.Position{Epoch: end.Epoch, Seq: end.Seq + 1}}, "on": {Oldest: true}} {
		for _, limit := range []int{1, 2, 3, 4, 1000} {
			var got []string
			q := q
			for pages := 0; ; pages++ {
				q.Limit = limit
				page, err := h.History(ctx, protocol.InboxOf("sender"), q)
				if err != nil || pages > 3 {
					t.Fatal(pages, err)
				}
				for _, m := range page.Messages {
					got = append(got, m.ID)
				}
				if page.Next.IsZero() {
					break
				}
				if len(page.Messages) != limit {
					t.Errorf("%s, limit %d: %d messages, and more", name, limit, len(page.Messages))
				}
				if q.Before = page.Next; name == "on" {
					q.Before, q.Oldest, q.After = protocol.Position{}, false, page.Next
				}
			}
			if name != "on" {
				slices.Reverse(got)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, limit %d: %v", name, limit, got)
			}
		}
	}
}

// A send that is repeated waits for the message of the first one, acknowledged before or after.
func TestRepeatedSendWaitsToo(t *testing.T) {
	h, _ := start(t)
	m := waiting(ReceiptDelivered, 50*time.Millisecond, "a", "b")
	m.ID = "again"
	first, err := h.Send(t.Context(), m)
	if err != nil || !slices.Equal(states(first), []State{StateQueued, StateQueued}) {
		t.Fatalf("%+v, %v", first, err)
	}
	h.ack(t, "a", first.Results[0].Pos)
	m.Wait = 20 * time.Second
	var wg sync.WaitGroup
	wg.Go(func() {
		deadline := time.After(20 * time.Second)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			h.waits.mu.Lock()
			busy := len(h.waits.of) > 0
			h.waits.mu.Unlock()
			if busy {
				break
			}
			select {
			case <-tick.C:
			case <-deadline:
				return
			}
		}
		h.ack(t, "b", first.Results[1].Pos)
	})
	begin := time.Now()
	second, err := h.Send(t.Context(), m)
	wg.Wait()
	if err != nil || !second.Duplicate || !slices.Equal(states(second), []State{StateDelivered, StateDelivered}) {
		t.Fatalf("%+v, %v", second, err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Two senders may use the same id at the same receiver: neither hears of the other's.
func TestWaitsForItsOwnMessage(t *testing.T) {
	h, _ := start(t)
	var wg sync.WaitGroup
	results := make([]*SendResult, 2)
	send := func(i int, from string, d time.Duration) {
		m := waiting(ReceiptDelivered, d, "a")
		m.ID, m.From = "1", from
		wg.Go(func() {
			r, err := h.Send(t.Context(), m)
			if err != nil {
				t.Error(err)
			}
			results[i] = r
		})
	}
	send(0, "x", 20*time.Second)
	pos := h.tail(t, "a", 1)
	send(1, "y", time.Second)
	h.tail(t, "a", 2)
	h.ack(t, "a", pos)
	wg.Wait()
	if results[0].Results[0].State != StateDelivered || results[1].Results[0].State != StateQueued {
		t.Errorf("%+v, %+v", results[0], results[1])
	}
}

// What the subscription did not bring is found by looking.
func TestLostNotificationCostsTimeOnly(t *testing.T) {
	h, redis := start(t)
	if _, err := h.Send(t.Context(), waiting(ReceiptDelivered, time.Millisecond, "x")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		pos := h.tail(t, "a", 1)
		h.waits.stop() // deaf from now on
		<-h.waits.ended
		h.ack(t, "a", pos)
	})
	r, err := h.Send(t.Context(), waiting(ReceiptDelivered, 5*time.Second, "a"))
	wg.Wait()
	if err != nil || r.Results[0].State != StateDelivered {
		t.Errorf("%+v, %v", r, err)
	}
	_ = redis
}

func TestWaitingWhileTheSubscriptionBreaks(t *testing.T) {
	h, _ := start(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		pos := h.tail(t, "a", 1)
		h.waits.mu.Lock()
		sub := h.waits.sub
		h.waits.mu.Unlock()
		sub.Reset()
		h.ack(t, "a", pos)
	})
	begin := time.Now()
	r, err := h.Send(t.Context(), waiting(ReceiptDelivered, 20*time.Second, "a"))
	wg.Wait()
	if err != nil || r.Results[0].State != StateDelivered || time.Since(begin) > 10*time.Second {
		t.Errorf("after %v: %+v, %v", time.Since(begin), r, err)
	}
}

func TestRedisDiesWhileWaiting(t *testing.T) {
	h, redis := start(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		h.tail(t, "a", 1)
		redis.Kill()
	})
	begin := time.Now()
	_, err := h.Send(t.Context(), waiting(ReceiptDelivered, 30*time.Second, "a"))
	wg.Wait()
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if _, err = h.Send(t.Context(), waiting(ReceiptDelivered, 30*time.Second, "a")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a new one: %v", err)
	}
	if took := time.Since(begin); took > 12*time.Second {
		t.Errorf("both took %v", took)
	}
}

func TestCloseEndsWaiting(t *testing.T) {
	redis := redistest.Start(t)
	s, err := store.Open(t.Context(), store.Options{URL: redis.URL(), Partitions: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	h, err := New(t.Context(), Options{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		h.tail(t, "a", 1)
		h.Close()
		h.Close()
	})
	begin := time.Now()
	r, err := h.Send(t.Context(), waiting(ReceiptDelivered, 30*time.Second, "a"))
	wg.Wait()
	if err != nil || r.Results[0].State != StateQueued || time.Since(begin) > 10*time.Second {
		t.Errorf("after %v: %+v, %v", time.Since(begin), r, err)
	}
	if _, err := h.Send(t.Context(), waiting(ReceiptDelivered, time.Second, "a")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	if r, err := h.Send(t.Context(), waiting(ReceiptDelivered, 0, "a")); err != nil || r.Results[0].State != "" {
		t.Errorf("without waiting: %+v, %v", r, err)
	}
}

func TestCancelEndsWaiting(t *testing.T) {
	h, _ := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { h.tail(t, "a", 1); cancel() })
	_, err := h.Send(ctx, waiting(ReceiptDelivered, 30*time.Second, "a"))
	wg.Wait()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	h.waits.mu.Lock()
	defer h.waits.mu.Unlock()
	if len(h.waits.of) != 0 {
		t.Errorf("%d still wait", len(h.waits.of))
	}
}

func TestReceiptsAreChecked(t *testing.T) {
	h, _ := start(t)
	for name, c := range map[string]struct {
		change func(*Message)
		field  string
	}{
		"unknown":             {func(m *Message) { m.Receipt = "maybe" }, "receipt"},
		"too long":            {func(m *Message) { m.Wait = MaxWait + 1 }, "waitMs"},
		"negative":            {func(m *Message) { m.Wait = -1 }, "waitMs"},
		"ephemeral":           {func(m *Message) { m.Ephemeral, m.Receipt = true, ReceiptRead }, "receipt"},
		"ephemeral and waits": {func(m *Message) { m.Ephemeral, m.Wait = true, time.Second }, "waitMs"},
	} {
		m := Message{To: []string{"a"}, Data: json.RawMessage("1")}
		c.change(&m)
		_, err := h.Send(t.Context(), m)
		var f *FieldError
		if !errors.As(err, &f) || f.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	results, err := h.Batch(t.Context(), []BatchItem{
		{Direct: &Message{To: []string{"a"}, Data: json.RawMessage("1"), Wait: time.Second}},
		{Direct: &Message{To: []string{"a"}, From: "s", Data: json.RawMessage("1"), Receipt: ReceiptDelivered, Echo: true}},
		{Direct: &Message{To: []string{"a"}, From: "s", Data: json.RawMessage("1"), Receipt: "none"}},
	})
	var f *FieldError
	if err != nil || !errors.As(results[0].Err, &f) || f.Field != "waitMs" || results[1].Err != nil || results[2].Err != nil {
		t.Fatalf("%+v, %v", results, err)
	}
	h.ack(t, "a", results[2].Direct.Results[0].Pos)
	h.ack(t, "s", h.tail(t, "s", 1)) // the echo asks for no receipt of its own
	entries, err := h.store.After(t.Context(), protocol.InboxOf("s"), protocol.Position{}, 10)
	if err != nil || len(entries) != 2 {
		t.Errorf("the sender's inbox has %d entries, want the echo and a receipt; %v", len(entries), err)
	}
}

func TestReceiptEvents(t *testing.T) {
	h, _ := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan Event, 10)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = h.Events(ctx, "backend", func(_ context.Context, e Event) error { got <- e; return nil })
	})
	defer wg.Wait()
	defer cancel()
	// A group starts with what happens once it exists: repeat until one is heard.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := h.Send(t.Context(), Message{To: []string{"a"}, Data: json.RawMessage("1"), Receipt: ReceiptDelivered})
		if err != nil {
			t.Fatal(err)
		}
		h.ack(t, "a", r.Results[0].Pos)
		select {
		case e := <-got:
			if e.Type != store.EventReceipt || e.ClientID != "a" || e.ID == "" || e.State != "delivered" || e.From != "" || e.Time == 0 || e.Seq == 0 {
				t.Errorf("%+v", e)
			}
			return
		case <-tick.C:
		}
	}
}
