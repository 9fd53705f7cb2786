package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// onBoth runs a test on a real Redis and on the embedded one.
func onBoth(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Helper()
	t.Run("redis", func(t *testing.T) {
		test(t, open(t, Options{URL: redistest.Start(t).URL()}))
	})
	t.Run("embedded", func(t *testing.T) {
		test(t, open(t, Options{URL: redistest.Embedded(t), Embedded: true}))
	})
}

// open opens a Store that is closed when the test ends. A small number of partitions is enough for most tests.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Partitions == 0 {
		o.Partitions = 16
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
		<-tick.C
	}
}

func message(id string) *protocol.Envelope {
	return &protocol.Envelope{ID: id, From: "sender", Time: 1, Data: []byte(`"` + id + `"`)}
}

// send publishes to one inbox and expects success.
func send(t testing.TB, s *Store, to, id string) protocol.Position {
	t.Helper()
	rs, err := s.PublishInbox(context.Background(), message(id), []string{to}, false)
	if err != nil {
		t.Fatalf("publish %s: %v", id, err)
	}
	return rs[0].Pos
}

// stored returns the ids of a stream's messages, the oldest first.
func stored(t testing.TB, s *Store, st protocol.Stream) []string {
	t.Helper()
	entries, err := s.After(context.Background(), st, protocol.Position{}, 10000)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, e := range entries {
		m, err := protocol.DecodeEnvelope(e.Envelope)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.ID)
	}
	return ids
}

func wantUnavailable(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
}

func names(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return out
}
