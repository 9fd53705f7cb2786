package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// Many goroutines send to the same streams at once: each finds its own messages in its own order, where it was told.
func TestSendsAtTheSameTimeKeepTheirOrder(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		const senders, each = 16, 12
		to := names("client", 3)
		told := make([]map[string]protocol.Position, senders)
		var wg sync.WaitGroup
		for g := range senders {
			told[g] = make(map[string]protocol.Position)
			wg.Go(func() {
				for i := range each {
					id := fmt.Sprintf("%d/%d", g, i)
					rs, err := s.PublishInbox(context.Background(), message(id), to[i%3:i%3+1], false)
					if err != nil {
						t.Error(err)
						return
					}
					told[g][id] = rs[0].Pos
				}
			})
		}
		wg.Wait()
		last := make(map[string]string) // sender and stream → its last id
		n := 0
		for _, client := range to {
			entries, err := s.After(context.Background(), protocol.InboxOf(client), protocol.Position{}, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range entries {
				m, err := protocol.DecodeEnvelope(e.Envelope)
				if err != nil {
					t.Fatal(err)
				}
				var g, k, before int
				_, _ = fmt.Sscanf(m.ID, "%d/%d", &g, &k) // ids are this test's
				if told[g][m.ID] != e.Pos || e.Pos.Seq != uint64(i+1) {
					t.Errorf("%s of %s is at %v, told %v", m.ID, client, e.Pos, told[g][m.ID])
				}
				key := fmt.Sprint(g, client)
				if _, _ = fmt.Sscanf(last[key], "%d/%d", &g, &before); last[key] != "" && before >= k {
					t.Errorf("%s comes after %s", m.ID, last[key])
				}
				last[key] = m.ID
				n++
			}
		}
		if n != senders*each {
			t.Errorf("%d messages, want %d", n, senders*each)
		}
	})
}

// Single sends wait for the group before theirs; what fills a group by itself does not, up to a limit.
func TestFullGroupsAreAtRedisTogether(t *testing.T) {
	var g groups
	single := func() *delivery { return &delivery{jobs: make([]*job, 1)} }
	full := func() *delivery { return &delivery{jobs: make([]*job, maxGroup)} }
	for i, c := range []struct {
		d     *delivery
		start bool
	}{{single(), true}, {single(), false}, {full(), true}, {full(), true}, {full(), true}, {full(), false}, {single(), false}} {
		if got := g.add(c.d); got != c.start {
			t.Errorf("delivery %d: another goroutine is to start: %v", i, got)
		}
	}
	// The two before the first full one are a group; the one behind the last is left to a single goroutine.
	for i, want := range []int{2, 1, 1, 1, 1, 0, 0, 0, 1, 0} {
		if got := g.take(); len(got) != want {
			t.Errorf("group %d has %d deliveries, want %d", i, len(got), want)
		}
	}
	if g.running != 0 || g.jobs != 0 {
		t.Errorf("in the end %d run, %d jobs wait", g.running, g.jobs)
	}
}

// Sends that need another script do not overtake, and are not overtaken, within one call.
func TestOneCallKeepsItsOrderWhateverTheSends(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		var pubs []Publication
		var want []string
		for i := range 60 {
			m := message(fmt.Sprint("m", i))
			want = append(want, m.ID)
			pubs = append(pubs, Publication{Envelope: m, Kind: protocol.Inbox, To: []string{"anna"}, Idempotent: i%3 == 1})
		}
		for _, r := range s.PublishMany(context.Background(), pubs) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if got := stored(t, s, protocol.InboxOf("anna")); !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	})
}

// A stream that was seen by one Store is deleted and made again by another.
func TestStreamThatWentOnWithoutTheStore(t *testing.T) {
	r := redistest.Start(t)
	a, b := open(t, Options{URL: r.URL()}), open(t, Options{URL: r.URL()})
	first := send(t, a, "anna", "1")
	key := a.keys.stream(protocol.InboxOf("anna"))
	if err := a.do(context.Background(), a.client.B().Del().Key(key).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	// A stream is deleted here right after it was made; those that expire are older than a millisecond.
	eventually(t, "redis is in another millisecond", func() bool {
		return uint64(time.Now().UnixMilli()) > first.Epoch
	})
	second := send(t, b, "anna", "2")
	if second.Epoch <= first.Epoch || second.Seq != 1 {
		t.Errorf("%v after %v", second, first)
	}
	if third := send(t, a, "anna", "3"); !second.Next(third) {
		t.Errorf("%v after %v", third, second)
	}
	if fourth := send(t, b, "anna", "4"); fourth != (protocol.Position{Epoch: second.Epoch, Seq: 3}) {
		t.Errorf("%v is the fourth", fourth)
	}
}

// One stream that Redis refuses does not concern the others of the same call.
func TestOneBadStreamFailsAlone(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		send(t, s, "warm", "up")
		bad := s.keys.stream(protocol.InboxOf("c2"))
		if err := s.do(ctx, s.client.B().Set().Key(bad).Value("not a stream").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		var pubs []Publication
		for _, c := range names("c", 5) {
			pubs = append(pubs, Publication{Envelope: message("m"), Kind: protocol.Inbox, To: []string{c}})
		}
		for i, r := range s.PublishMany(ctx, pubs) {
			if i != 2 {
				if r.Err != nil || r.Receipts[0].Pos.IsZero() {
					t.Errorf("c%d: %v, %v", i, r.Receipts, r.Err)
				}
				continue
			}
			if r.Err == nil || !strings.Contains(r.Err.Error(), "WRONGTYPE") || errors.Is(r.Err, ErrUnavailable) {
				t.Errorf("c2: %v", r.Err)
			}
		}
	})
}

func TestCanceledSendReturns(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	rs, err := s.PublishInbox(ctx, message("m"), []string{"anna", "bob"}, false)
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) || len(rs) != 2 || rs[1].Addr != "bob" {
		t.Errorf("got %v, %v", rs, err)
	}
	if got := stored(t, s, protocol.InboxOf("anna")); len(got) != 0 {
		t.Errorf("stored %v", got)
	}
}

func TestHintsAreOfOneLifeAndBounded(t *testing.T) {
	now := time.Now()
	h := hints{renewAfter: time.Hour}
	h.learn("k", 7, protocol.Position{Epoch: 9, Seq: 1}, given{}, now)
	if got := h.of("k", 7, now).text; got != "9" {
		t.Errorf("got %q", got)
	}
	if got := h.of("k", 8, now).text; got != "" {
		t.Errorf("in another life %q", got)
	}
	for i := range 2 * maxHints {
		h.learn(fmt.Sprint(i), 7, protocol.Position{Epoch: 9, Seq: 1}, given{}, now)
	}
	if len(h.known) > maxHints {
		t.Errorf("%d are kept", len(h.known))
	}
}

// Who gives no hint has the expiry renewed; who gives one has not.
func TestHintsRenewTheExpiry(t *testing.T) {
	start := time.Now()
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	pos := protocol.Position{Epoch: 9, Seq: 1}
	h := hints{renewAfter: time.Hour}
	h.learn("k", 7, pos, given{}, at(0))
	h.learn("k", 7, pos, h.of("k", 7, at(59)), at(59)) // renewed nothing
	if got := h.of("k", 7, at(60)).text; got != "" {
		t.Fatalf("after an hour the hint is %q", got)
	}
	h.learn("k", 7, pos, given{9, "9"}, at(60)) // another call, which had the hint before
	if got := h.of("k", 7, at(60)).text; got != "" {
		t.Errorf("a call that renewed nothing put renewing off: %q", got)
	}
	h.learn("k", 7, pos, given{}, at(61))
	if got := h.of("k", 7, at(120)).text; got != "9" {
		t.Errorf("after renewing the hint is %q", got)
	}
	h.learn("k", 7, protocol.Position{Epoch: 10, Seq: 1}, given{9, "9"}, at(120)) // the hint was wrong: the script looked for itself
	if got := h.of("k", 7, at(170)).text; got != "10" {
		t.Errorf("in a new epoch the hint is %q", got)
	}
}

// A stream that is written to is kept for at least the time asked for after the last message.
func TestExpiryIsRenewed(t *testing.T) {
	const ttl = 2400 * time.Millisecond // renewed every 100 ms
	s := open(t, Options{URL: redistest.Start(t).URL(), HistoryTTL: ttl})
	key := s.keys.stream(protocol.InboxOf("anna"))
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		began := time.Now()
		if _, err := s.PublishInbox(t.Context(), message("m"), []string{"anna"}, false); err != nil {
			t.Fatal(err)
		}
		left, err := s.do(t.Context(), s.client.B().Pttl().Key(key).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		passed := time.Since(began)
		if left := time.Duration(left) * time.Millisecond; left < ttl-passed-5*time.Millisecond || left > ttl+ttl/renewals {
			t.Fatalf("%v after a message the stream expires in %v", passed, left)
		}
	}
}
