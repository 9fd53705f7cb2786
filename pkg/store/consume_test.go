package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/store/redistest"
)

// inbasket is a handler that keeps what it gets.
type inbasket struct {
	mu     sync.Mutex
	events []Event
	refuse func(Event) bool
	tries  int
}

func (b *inbasket) handle(_ context.Context, e Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if b.refuse != nil && b.refuse(e) {
		return errors.New("refused")
	}
	b.events = append(b.events, e)
	return nil
}

func (b *inbasket) accept() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = nil
}

func (b *inbasket) tried() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tries
}

// of returns what happened to a client, in the order of handling.
func (b *inbasket) of(client string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []string{}
	for _, e := range b.events {
		if e.ClientID == client {
			out = append(out, e.Type+e.Group)
		}
	}
	return out
}

func (b *inbasket) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events)
}

// consume runs a consumer; the returned function ends it and waits.
func consume(t testing.TB, s *Store, group, name string, b *inbasket) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctxb)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.ConsumeEvents(ctx, group, name, b.handle, ConsumeOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("consumer %s ended with %v", name, err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	eventually(t, "the group is there", func() bool {
		for _, p := range s.allPartitions() {
			groups, err := s.do(ctxb, s.client.B().XinfoGroups().Key(s.keys.events(p)).Build()).ToArray()
			if err != nil || !slices.ContainsFunc(groups, func(m rueidis.RedisMessage) bool {
				fields, err := m.AsStrMap()
				return err == nil && fields["name"] == group
			}) {
				return false
			}
		}
		return true
	})
	return stop
}

// eventWorker is a consumer whose parts a test moves by hand.
func eventWorker(s *Store, group, token string, b *inbasket) *worker {
	c := newConsumer(s, s.eventFeed(), group, "", 1)
	c.token = token
	if b != nil {
		c.handleEvents(b.handle)
	}
	return c.workers[0]
}

func sharing(s *Store, token string) *consumer {
	c := newConsumer(s, s.eventFeed(), "g", "", eventWorkers)
	c.token = token
	return c
}

// drain has a worker serve a partition until it is done with it.
func drain(ctx context.Context, w *worker, p int) {
	for more := true; more && ctx.Err() == nil; {
		w.mu.Lock()
		delete(w.ready, p)
		w.mu.Unlock()
		w.serve(ctx, p)
		w.mu.Lock()
		more = w.ready[p]
		w.mu.Unlock()
	}
}

func TestEventsArriveInOrder(t *testing.T) {
	onBothWithoutGrace(t, func(t *testing.T, s *Store) {
		connect(t, s, session(s, "before"), AnyDevice)
		b := &inbasket{}
		consume(t, s, "g", "one", b)
		for i := range 5 {
			se := session(s, "anna")
			connect(t, s, se, AnyDevice)
			_, err := s.Join(ctxb, fmt.Sprint(i), []string{"anna"}, JoinOptions{UntilOffline: true})
			must(t, err)
			disconnect(t, s, se)
			must(t, s.sweep(ctxb))
		}
		eventually(t, "all events", func() bool { return len(b.of("anna")) >= 20 })
		wantEqual(t, "events", b.of("anna")[:8], []string{"online", "join0", "offline", "leave0", "online", "join1", "offline", "leave1"})
		wantEqual(t, "what was before the group", b.of("before"), []string{})
		b.mu.Lock()
		defer b.mu.Unlock()
		seen, last := map[string]bool{}, map[string]int64{}
		for _, e := range b.events {
			if seen[e.Key] {
				t.Errorf("%s came twice", e.Key)
			}
			if e.Seq <= last[e.ClientID] || e.Seq >= 1<<53 {
				t.Errorf("%s: event %d after %d", e.ClientID, e.Seq, last[e.ClientID])
			}
			seen[e.Key], last[e.ClientID] = true, e.Seq
		}
	})
}

// Who causes more events than can be handled does not keep those of others.
func TestABusyPartitionLeavesOthersTheirTurn(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	busy, other := "busy", ""
	for i := 0; other == "" || s.Partition(other) == s.Partition(busy); i++ {
		other = fmt.Sprint("other", i)
	}
	ready, gate, first := make(chan struct{}), make(chan struct{}), make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	n := 0
	go func() {
		ended <- s.ConsumeEvents(ctx, "g", "one", func(ctx context.Context, e Event) error {
			switch {
			case e.ClientID == other:
				first <- n
			case n == 0:
				select {
				case <-gate:
				case <-ctx.Done():
				}
			}
			n++
			return nil
		}, ConsumeOptions{Workers: 1, Ready: func() { close(ready) }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	<-ready
	_, err := s.JoinGroups(ctxb, busy, names("g", 10*eventBatch), JoinOptions{})
	must(t, err)
	_, err = s.JoinGroups(ctxb, other, []string{"g"}, JoinOptions{})
	must(t, err)
	close(gate)
	// At most one batch that was read before, and one more.
	if before := <-first; before > 2*eventBatch {
		t.Errorf("%d events of a busy client came first", before)
	}
}

func TestHintsWakeTheConsumer(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	b := &inbasket{}
	consume(t, s, "g", "one", b)
	connect(t, s, session(s, "first"), AnyDevice)
	eventually(t, "the consumer works", func() bool { return b.count() == 1 })
	for round := range 5 { // a busy machine may be slow, but not always
		fast := 0
		for i := range 10 {
			began := time.Now()
			connect(t, s, session(s, fmt.Sprint("c", round, i)), AnyDevice)
			eventually(t, "the event", func() bool { return b.count() == 10*round+i+2 })
			if time.Since(began) < eventScan/4 {
				fast++
			}
		}
		if fast >= 8 {
			return
		}
		t.Logf("%d of 10 events came before a scan would have found them", fast)
	}
	t.Error("events are found by scans")
}

func TestRefusedEventsComeAgainInOrder(t *testing.T) {
	onBothWithoutGrace(t, func(t *testing.T, s *Store) {
		b := &inbasket{refuse: func(e Event) bool { return e.ClientID == "anna" && e.Type == EventJoin }}
		consume(t, s, "g", "one", b)
		se := session(s, "anna")
		connect(t, s, se, AnyDevice)
		_, err := s.Join(ctxb, "room", []string{"anna"}, JoinOptions{})
		must(t, err)
		disconnect(t, s, se)
		must(t, s.sweep(ctxb))
		other := "bob"
		for i := 0; s.Partition(other) == s.Partition("anna"); i++ {
			other = fmt.Sprint("bob", i)
		}
		connect(t, s, session(s, other), AnyDevice)
		eventually(t, "others go on", func() bool { return len(b.of(other)) == 1 })
		eventually(t, "a few tries", func() bool { return b.tried() > 5 })
		wantEqual(t, "anna so far", b.of("anna"), []string{"online"})
		b.accept()
		eventually(t, "the rest", func() bool {
			return slices.Equal(b.of("anna"), []string{"online", "joinroom", "offline"})
		})
	})
}

func TestConsumersShareAndTakeOver(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), Partitions: 32})
	a, b := &inbasket{}, &inbasket{}
	stopA := consume(t, s, "g", "same name", a)
	consume(t, s, "g", "same name", b)
	other := &inbasket{}
	consume(t, s, "another group", "x", other)

	n := 0
	eventually(t, "both have a share", func() bool {
		for range 20 {
			connect(t, s, session(s, fmt.Sprint("c", n)), AnyDevice)
			n++
		}
		return a.count() > 0 && b.count() > 0
	})
	stopA()
	before := b.count()
	for range 50 {
		connect(t, s, session(s, fmt.Sprint("c", n)), AnyDevice)
		n++
	}
	eventually(t, "everything once", func() bool { return a.count()+b.count() >= n && other.count() >= n })
	if b.count()-before < 50 {
		t.Fatalf("b took %d of 50", b.count()-before)
	}
	for i := range n {
		id := fmt.Sprint("c", i)
		if got := len(a.of(id)) + len(b.of(id)); got != 1 {
			t.Errorf("%s was handled %d times", id, got)
		}
	}
}

func TestPartitionsAreSharedFairly(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), Partitions: 256})
	for range 20 {
		alive := []string{"same:" + newToken(), "same:" + newToken(), "same:" + newToken(), "same:" + newToken()}
		total := 0
		for _, token := range alive {
			n := 0
			for _, share := range sharing(s, token).share(alive) {
				n += len(share)
			}
			if n < 32 || n > 96 { // 64 each, give or take
				t.Errorf("%d of 256 partitions for one of four", n)
			}
			total += n
		}
		wantEqual(t, "partitions given out", total, 256)
	}
}

// Events that a consumer had in hand when it died are the first that its successor gets.
func TestEventsOfADeadConsumerAreNotLost(t *testing.T) {
	onBothWithoutGrace(t, func(t *testing.T, s *Store) {
		for _, err := range s.createGroups(ctxb, s.eventFeed(), s.allPartitions(), "g", "$") {
			must(t, err)
		}
		dead := eventWorker(s, "g", "dead", nil)
		p := s.Partition("anna")
		se := session(s, "anna")
		connect(t, s, se, AnyDevice)
		got, err := dead.take(ctxb, p)
		must(t, err)
		if !got.held || len(got.entries) != 1 {
			t.Fatalf("took %+v", got)
		}
		disconnect(t, s, se)
		must(t, s.sweep(ctxb))

		b := &inbasket{}
		w := eventWorker(s, "g", "heir", b)
		got, err = w.take(ctxb, p)
		must(t, err)
		if got.held {
			t.Fatal("two consumers have the partition")
		}
		must(t, s.do(ctxb, s.client.B().Del().Key(s.keys.eventLock(p, "g")).Build()).Error()) // its time is over
		drain(ctxb, w, p)
		wantEqual(t, "events", b.of("anna"), []string{"online", "offline"})
		if got, err = dead.take(ctxb, p); err != nil || got.held {
			t.Fatalf("the dead one still reads: %+v, %v", got, err)
		}
		left, err := s.do(ctxb, s.client.B().Xpending().Key(s.keys.events(p)).Group("g").Build()).ToArray()
		must(t, err)
		n, err := left[0].AsInt64()
		must(t, err)
		wantEqual(t, "unacknowledged", n, int64(0))
	})
}

// A consumer that ends in the middle of its work, here of a handler, leaves no partition locked, nor itself among those
// that partitions are shared out to: the next one goes on at once.
func TestAConsumerThatEndsLeavesNothingBehind(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	heir, n := &inbasket{}, 0
	for round := range 20 {
		ctx, end := context.WithCancel(ctxb)
		ready, done, b := make(chan struct{}), make(chan struct{}), &inbasket{}
		b.refuse = func(e Event) bool {
			if e.ClientID != fmt.Sprint("last", round) {
				return false
			}
			end()
			return true
		}
		go func() {
			defer close(done)
			_ = s.ConsumeEvents(ctx, "g", "one", b.handle, ConsumeOptions{Ready: func() { close(ready) }})
		}()
		<-ready
		join := func(client string) {
			_, err := s.Join(ctxb, "room", []string{client}, JoinOptions{})
			must(t, err)
		}
		join(fmt.Sprint("last", round))
		for ctx.Err() == nil { // until it has come to that, its other workers have something to do, too
			join(fmt.Sprint("c", n))
			n++
		}
		<-done
		for _, p := range s.allPartitions() {
			holder, err := s.do(ctxb, s.client.B().Get().Key(s.keys.eventLock(p, "g")).Build()).ToString()
			if !rueidis.IsRedisNil(err) {
				t.Fatalf("round %d: partition %d is %q's, %v", round, p, holder, err)
			}
		}
		alive, err := s.do(ctxb, s.client.B().Zcard().Key(s.keys.consumers("g")).Build()).AsInt64()
		must(t, err)
		wantEqual(t, "consumers", alive, int64(0))
	}
	consume(t, s, "g", "two", heir)
	eventually(t, "what the last one stopped at", func() bool { return len(heir.of("last19")) == 1 })
}

// What Redis is asked for when a consumer ends would happen after the consumer has given back what it had.
func TestAConsumerThatEndsWaitsForRedis(t *testing.T) {
	redis := redistest.Start(t)
	s := open(t, Options{URL: redis.URL()})
	w := eventWorker(s, "g", "ending", &inbasket{})
	for _, c := range []struct {
		name string
		do   func(context.Context)
	}{
		{"takes a partition", func(ctx context.Context) { drain(ctx, w, 1) }},
		{"says that it lives", w.c.keep},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(ctxb)
			done := make(chan struct{})
			redis.Pause()
			var others sync.WaitGroup
			defer others.Wait()
			for range 64 { // alone on its connection a call does not look at its context
				others.Go(func() { _ = s.Ping(ctxb) })
			}
			eventually(t, "others wait for Redis", func() bool { return len(s.flight) == 64 })
			go func() { defer close(done); c.do(ctx) }()
			eventually(t, "it waits for Redis", func() bool { return len(s.flight) == 65 })
			cancel()
			select {
			case <-done:
				t.Error("it has ended before Redis answered")
			case <-time.After(20 * time.Millisecond):
			}
			redis.Resume()
			<-done
		})
	}
}

// A partition may be the consumer's though Redis did not answer in time: it is given back as well.
func TestAPartitionTakenWithoutAnAnswerIsGivenBack(t *testing.T) {
	redis := redistest.Start(t)
	s := openHasty(t, Options{URL: redis.URL()})
	for _, err := range s.createGroups(ctxb, s.eventFeed(), s.allPartitions(), "g", "$") {
		must(t, err)
	}
	w := eventWorker(s, "g", "ending", &inbasket{})
	drain(ctxb, w, 1) // now Redis knows the script
	redis.Pause()
	drain(ctxb, w, 2)
	redis.Resume()
	heir := eventWorker(s, "g", "heir", &inbasket{})
	eventually(t, "the next one gets the partition", func() bool { // sooner than the lock would end
		w.c.leave(ctxb) // it gives up soon when Redis is slow
		got, err := heir.take(ctxb, 2)
		return err == nil && got.held
	})
}

func TestEventsTrimmedInHandAreToldLost(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for _, err := range s.createGroups(ctxb, s.eventFeed(), s.allPartitions(), "g", "$") {
			must(t, err)
		}
		connect(t, s, session(s, "anna"), AnyDevice)
		p := s.Partition("anna")
		b := &inbasket{}
		w := eventWorker(s, "g", "x", b)
		_, err := w.take(ctxb, p)
		must(t, err)
		trim(t, s, p)
		_, err = s.Join(ctxb, "room", []string{"anna"}, JoinOptions{})
		must(t, err)
		drain(ctxb, w, p)
		wantEqual(t, "events", b.of("anna"), []string{"joinroom"})
		if len(b.of("")) == 0 { // also the group's place is gone, which may be told once more
			t.Error("the loss is not told")
		}
	})
}

func trim(t testing.TB, s *Store, p int) {
	t.Helper()
	must(t, s.do(ctxb, s.client.B().Xtrim().Key(s.keys.events(p)).Maxlen().Threshold("0").Build()).Error())
}

// A consumer group that was away for longer than events are kept is told so, until its handler has taken it.
func TestEventsTrimmedUnreadAreToldLost(t *testing.T) {
	for _, c := range []struct {
		name string
		read bool // the group has read something before
	}{{"a group that read", true}, {"a group that never read", false}} {
		t.Run(c.name, func(t *testing.T) {
			onAll(t, func(t *testing.T, s *Store) {
				if s.opts.Embedded && !c.read {
					t.Skip("miniredis does not count the entries that it trimmed")
				}
				for _, err := range s.createGroups(ctxb, s.eventFeed(), s.allPartitions(), "g", "$") {
					must(t, err)
				}
				p, b := s.Partition("anna"), &inbasket{}
				join := func(group string) {
					_, err := s.Join(ctxb, group, []string{"anna"}, JoinOptions{})
					must(t, err)
				}
				if c.read {
					w := eventWorker(s, "g", "x", b)
					join("read")
					drain(ctxb, w, p)
					w.c.leave(ctxb)
				}
				join("trimmed")
				trim(t, s, p)
				join("kept")

				b.refuse = func(e Event) bool { return e.Type == EventLost }
				w := eventWorker(s, "g", "y", b)
				drain(ctxb, w, p)
				wantEqual(t, "tries", b.tried(), map[bool]int{true: 2, false: 1}[c.read])
				if w.retry[p].at.IsZero() {
					t.Error("the refused loss is not tried again")
				}
				b.accept()
				drain(ctxb, w, p)
				drain(ctxb, w, p)
				wantEqual(t, "losses", b.of(""), []string{EventLost})
				want := []string{"joinread", "joinkept"}
				if !c.read {
					want = want[1:]
				}
				wantEqual(t, "events", b.of("anna"), want)
				lost, kept := b.events[len(b.events)-2], b.events[len(b.events)-1]
				if lost.Since > lost.Time || max(lost.Time-kept.Time, kept.Time-lost.Time) > 1000 || c.read == (lost.Since == 0) {
					t.Errorf("lost between %d and %d, the next event is of %d", lost.Since, lost.Time, kept.Time)
				}
			})
		})
	}
}

// A consumer that holds its partition and is outrun is told as well.
func TestAnOutrunConsumerIsTold(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for _, err := range s.createGroups(ctxb, s.eventFeed(), s.allPartitions(), "g", "$") {
			must(t, err)
		}
		p, b := s.Partition("anna"), &inbasket{}
		w := eventWorker(s, "g", "x", b)
		for _, g := range []string{"one", "two", "three"} {
			_, err := s.Join(ctxb, g, []string{"anna"}, JoinOptions{})
			must(t, err)
			if g == "two" {
				trim(t, s, p)
			} else {
				drain(ctxb, w, p)
			}
		}
		wantEqual(t, "losses", b.of(""), []string{EventLost})
		wantEqual(t, "events", b.of("anna"), []string{"joinone", "jointhree"})
	})
}

// What one script reports in one instant has numbers of its own all the same.
func TestManyEventsAtOnceHaveRisingNumbers(t *testing.T) {
	onBothWithoutGrace(t, func(t *testing.T, s *Store) {
		n := 2200
		if s.opts.Embedded {
			n = 600
		}
		se := session(s, "anna")
		connect(t, s, se, AnyDevice)
		for i := 0; i < n; i += 200 {
			_, err := s.JoinGroups(ctxb, "anna", names(fmt.Sprint(i, "-"), 200), JoinOptions{UntilOffline: true})
			must(t, err)
		}
		b := &inbasket{}
		consume(t, s, "g", "one", b)
		disconnect(t, s, se)
		must(t, s.sweep(ctxb))
		_, err := s.Join(ctxb, "after", []string{"anna"}, JoinOptions{UntilOffline: true})
		must(t, err)
		eventuallyWithin(t, 2*time.Minute, "all events", func() bool { return len(b.of("anna")) == n+2 }) // they are many
		last := int64(0)
		for _, e := range b.events {
			if e.Seq <= last {
				t.Fatalf("event %d after %d", e.Seq, last)
			}
			last = e.Seq
		}
	})
}

func TestAHandlerSaysWhenToTryAgain(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	c := newConsumer(s, s.eventFeed(), "g", "", 1)
	w := c.workers[0]
	w.failed(1, fmt.Errorf("no: %w", &RetryError{After: time.Hour, Err: errors.New("later")}))
	w.failed(2, errors.New("no"))
	if d := time.Until(w.retry[1].at); d < 59*time.Minute || d > time.Hour {
		t.Errorf("tries again in %v, want an hour", d)
	}
	if d := time.Until(w.retry[2].at); d > eventRetry {
		t.Errorf("tries again in %v", d)
	}
}

func TestConsumerSurvivesALostRedis(t *testing.T) {
	redis := redistest.Start(t)
	s := openHasty(t, Options{URL: redis.URL(), OfflineGrace: noGrace})
	b := &inbasket{}
	consume(t, s, "g", "one", b)
	connect(t, s, session(s, "anna"), AnyDevice)
	eventually(t, "the first event", func() bool { return b.count() == 1 })
	redis.Kill()
	redis.Restart() // empty: there is no append-only file
	eventually(t, "an event after the loss", func() bool {
		_, err := s.Connect(ctxb, session(s, "bob"))
		return err == nil
	})
	eventually(t, "it arrives", func() bool { return len(b.of("bob")) > 0 })
}

func TestConsumerStartsWithoutRedis(t *testing.T) {
	redis := redistest.Start(t)
	s := openHasty(t, Options{URL: redis.URL()})
	redis.Kill()
	ctx, cancel := context.WithCancel(ctxb)
	done := make(chan error, 1)
	go func() { done <- s.ConsumeEvents(ctx, "g", "one", (&inbasket{}).handle, ConsumeOptions{}) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("ended with %v", err)
	}
}
