package bus

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

const patience = 20 * time.Second // how long something may take on a busy machine

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// run starts a bus with a hub that holds nobody.
func run(t *testing.T, st *store.Store, log *zap.Logger, compare func(context.Context, func(error)) error) (*Bus, *hub.Hub) {
	t.Helper()
	var b *Bus
	h := hub.New(hub.Options{
		Log: StoredLog{Store: st, Sure: func(ctx context.Context) error { return b.Sure(ctx) }}, Lost: func() { b.Dropped() }, Heard: func(ctx context.Context) error { return b.Heard(ctx) },
		PingInterval: time.Minute, PongTimeout: time.Minute, StartTimeout: time.Minute,
	})
	b = New(Options{Store: st, Hub: h, Log: log, Compare: compare})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() { h.Run(ctx) })
	wg.Go(func() { _ = b.Run(ctx) })
	if err := b.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	return b, h
}

// The clients of a full node take a while to compare. A second interruption meanwhile must not cost what was sent during it
// that time, too.
func TestStreamsAreRepairedWhileClientsAreCompared(t *testing.T) {
	redis := redistest.Start(t)
	st, err := store.Open(t.Context(), store.Options{URL: redis.URL(), Partitions: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	core, logs := observer.New(zap.InfoLevel)
	comparing := make(chan struct{}, 100)
	b, h := run(t, st, zap.New(core), func(ctx context.Context, _ func(error)) error {
		comparing <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	b.sub.Reset()
	<-comparing
	// That of the streams began at the same time.
	eventually(t, "streams have been compared", func() bool { return logs.FilterField(zap.String("what", "streams")).Len() > 0 })
	// A message that is not announced stands for one that was sent while there was no subscription.
	envelope := protocol.Envelope{ID: "m", Time: 1, Data: []byte("1")}
	redis.Do("XADD", "im:{all}:s", "99999999999999-1", "m", string(envelope.Encode()))
	if h.Counters().Repairs.Load() != 0 {
		t.Fatal("repaired before anything was missed")
	}
	b.sub.Reset()
	eventually(t, "the missed broadcast is read", func() bool { return h.Counters().Repairs.Load() > 0 })
}

func TestRequestsThatWaitAreOneComparison(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	var c *comparison
	c = newComparison("x", zap.NewNop(), func(ctx context.Context, _ func(error)) error {
		switch n++; n {
		case 1: // two that come while it is under way begin another
			c.ask()
			c.ask()
		case 2:
			cancel()
		}
		return ctx.Err()
	})
	c.ask()
	c.ask()
	c.run(ctx)
	if n != 2 || len(c.asked) != 0 {
		t.Errorf("%d comparisons, %d wait", n, len(c.asked))
	}
}

// A comparison that was asked for after one interruption may begin only during the next.
func TestMembershipsComparedDuringAnInterruptionAreNotTrusted(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{URL: redistest.Start(t).URL(), Partitions: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	var b *Bus
	h := hub.New(hub.Options{Log: StoredLog{Store: st}, Lost: func() {}, Heard: func(context.Context) error { return nil }})
	b = New(Options{Store: st, Hub: h, Log: zap.NewNop(), Compare: func(context.Context, func(error)) error { return nil }})
	chess := protocol.GroupOf("chess")
	h.Hold(chess)
	h.Settle(chess, protocol.Position{Epoch: 10, Seq: 1})
	t.Cleanup(func() { h.Release(chess) })

	b.Lost(errors.New("first interruption"))
	b.Restored() // asks for a comparison; the goroutine is busy with an earlier one for now
	b.Lost(errors.New("second interruption"))
	<-b.clients.asked // it gets to what was asked
	if err := b.compareClients(t.Context(), func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	deliver := func(seq uint64) { // not the next one: it would be repaired, unless groups are held
		t.Helper()
		m, err := hub.NewMessage((&protocol.Envelope{ID: "m", Time: 1, Data: []byte("1")}).Encode())
		if err != nil {
			t.Fatal(err)
		}
		h.Deliver(chess, protocol.Position{Epoch: 10, Seq: seq}, 10, m)
		h.Flush()
		if n := h.Counters().Repairs.Load(); n != 0 {
			t.Error("messages of groups flow although memberships have not been compared since the interruption")
		}
	}
	deliver(3)
	// Here somebody leaves the group: nobody hears it.
	b.Restored() // the comparison that this asks for has not been made yet
	deliver(5)
}
