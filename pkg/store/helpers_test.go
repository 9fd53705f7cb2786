package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// sideBySide is how many of the tests with servers of their own run at once: they mostly wait, so there may be more of them than
// processors.
const sideBySide = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", sideBySide); err != nil {
		panic(err)
	}
	// The client closes connections that it does not use any more after 5 s, and looks at the Cluster again after up to one:
	// that may be after the last test.
	goleak.VerifyTestMain(withCluster{m},
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient).redirectOrNew.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// shared is the Cluster of all tests that need one for themselves.
var shared redistest.Shared

// withCluster ends it before leaks are looked for.
type withCluster struct{ *testing.M }

func (m withCluster) Run() int {
	defer shared.Close()
	return m.M.Run()
}

// onAll runs a test on a real Redis, on a Cluster and on the embedded one.
func onAll(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Helper()
	onBoth(t, test)
	t.Run("cluster", func(t *testing.T) { test(t, onCluster(t)) })
}

// onCluster opens a Store on an empty Cluster.
func onCluster(t testing.TB) *Store {
	t.Helper()
	return open(t, Options{URL: shared.Cluster(t).URL()})
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

// patience is how long a Store of open waits for Redis: a machine that stands still for a moment fails no call.
const patience = 20 * time.Second

// open opens a Store that is closed when the test ends, and that waits long for Redis. A small number of partitions is
// enough for most tests.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	s := openHasty(t, o)
	if err := makePatient(s); err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// makePatient makes a Store that nobody uses yet wait long for Redis.
func makePatient(s *Store) error {
	co := s.conn
	co.ConnWriteTimeout, co.Dialer.Timeout = patience, patience
	client, err := rueidis.NewClient(co)
	if err != nil {
		return err
	}
	s.client.Close()
	s.client, s.timeout = client, patience
	return nil
}

// openHasty is open with the time-outs that programs have: for tests in which Redis is silent or gone.
func openHasty(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Partitions == 0 {
		o.Partitions = 16
	}
	s, err := tryOpen(o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// tryOpen is Open that tries again while Redis, or this machine, is too slow.
func tryOpen(o Options) (*Store, error) {
	for end := time.Now().Add(patience); ; {
		s, err := Open(context.Background(), o)
		if !errors.Is(err, ErrUnavailable) || time.Now().After(end) {
			return s, err
		}
	}
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	eventuallyWithin(t, 20*time.Second, what, cond)
}

func eventuallyWithin(t testing.TB, d time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(d)
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
