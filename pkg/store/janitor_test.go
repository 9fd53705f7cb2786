package store

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/store/redistest"
)

func newTestJanitor(s *Store) *janitor { return &janitor{s: s, token: newToken()} }

// runJanitor runs one until the returned function is called, which waits for its end.
func runJanitor(t testing.TB, s *Store, onErr func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctxb)
	done := make(chan error, 1)
	go func() { done <- s.RunJanitor(ctx, "test", onErr) }()
	var once atomic.Bool
	stop = func() {
		cancel()
		if once.CompareAndSwap(false, true) {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("the janitor ended with %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestOneJanitorWorks(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		a, b := newTestJanitor(s), newTestJanitor(s)
		must(t, a.round(ctxb))
		must(t, b.round(ctxb))
		must(t, a.round(ctxb))
		if a.calmSince.IsZero() || !b.calmSince.IsZero() {
			t.Fatal("two janitors work, or none")
		}
		b.release(ctxb) // not b's to give
		must(t, b.round(ctxb))
		if !b.calmSince.IsZero() {
			t.Fatal("b released the lock of a")
		}
		a.release(ctxb)
		must(t, b.round(ctxb))
		if b.calmSince.IsZero() {
			t.Fatal("the lock was not released")
		}
	})
}

func TestJanitorClearsUpAfterADeadNode(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for _, id := range []string{"n1", "n2"} {
			_, err := s.RenewNode(ctxb, Node{ID: id})
			must(t, err)
		}
		anna, bob := session(s, "anna"), session(s, "bob")
		bob.Node = "n2"
		anna.Groups, anna.UntilOffline = []string{"room"}, true
		connect(t, s, anna, AnyDevice)
		connect(t, s, bob, AnyDevice)
		_, err := s.SyncGroups(ctxb, "anna", unsynced("room"))
		must(t, err)
		expireLease(t, s, "n1")

		j := newTestJanitor(s)
		must(t, j.round(ctxb))
		j.calmFor = time.Hour // Redis has just come back
		must(t, j.round(ctxb))
		if !clientOf(t, s, "anna").Online {
			t.Fatal("a node was declared dead although it had no time to renew")
		}
		j.calmFor = 0
		must(t, j.round(ctxb))
		if clientOf(t, s, "anna").Online || !clientOf(t, s, "bob").Online {
			t.Fatal("wrong clients are online")
		}
		wantEqual(t, "room", indexOf(t, s, "room"), []string{})
		ids, err := s.nodeIDs(ctxb)
		must(t, err)
		wantEqual(t, "registry", ids, []string{"n2"})
		wantEqual(t, "events", typesIn(t, s, "anna"), []string{"online", "join room", "offline", "leave room"})
	})
}

// Everything stands still for longer than a lease, as when a machine is suspended, and the janitor is the first to go on. It has
// worked for long; the nodes have had no moment to say that they live.
func TestNobodyIsDeclaredDeadAfterAStandstill(t *testing.T) {
	tests := []struct {
		name  string
		still func(t *testing.T, s *Store, j *janitor)
		dead  bool
	}{
		{"nothing stood still", func(*testing.T, *Store, *janitor) {}, true},
		{"the janitor's lock ran out", func(t *testing.T, s *Store, _ *janitor) {
			must(t, s.do(ctxb, s.client.B().Del().Key(s.keys.janitor()).Build()).Error())
		}, false},
		{"the janitor's lock is nearly over", func(t *testing.T, s *Store, j *janitor) {
			left := (janitorLock - janitorGap).Milliseconds()
			j.worked = 0
			must(t, s.do(ctxb, s.client.B().Pexpire().Key(s.keys.janitor()).Milliseconds(left).Build()).Error())
		}, false},
		{"the janitor worked all the time", func(t *testing.T, s *Store, j *janitor) {
			left := (janitorLock - janitorGap).Milliseconds()
			j.worked = janitorLock
			must(t, s.do(ctxb, s.client.B().Pexpire().Key(s.keys.janitor()).Milliseconds(left).Build()).Error())
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			onBothWithoutGrace(t, func(t *testing.T, s *Store) {
				_, err := s.RenewNode(ctxb, Node{ID: "n1"})
				must(t, err)
				connect(t, s, session(s, "anna"), AnyDevice)
				j := newTestJanitor(s)
				j.calmFor = calmFor
				must(t, j.round(ctxb))
				j.calmSince = j.calmSince.Add(-time.Hour)
				expireLease(t, s, "n1")
				test.still(t, s, j)
				must(t, j.round(ctxb))
				if online := clientOf(t, s, "anna").Online; online == test.dead {
					t.Errorf("anna is online: %v", online)
				}
			})
		})
	}
}

func TestJanitorSurvivesAnOutage(t *testing.T) {
	redis := redistest.Start(t, redistest.AOF())
	s := openHasty(t, Options{URL: redis.URL(), OfflineGrace: noGrace})
	var failures atomic.Int32
	stop := runJanitor(t, s, func(err error) {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("reported %v", err)
		}
		failures.Add(1)
	})
	redis.Kill()
	eventually(t, "the outage is reported", func() bool { return failures.Load() > 0 })
	redis.Restart()
	var tried []ConnRef // a connect that failed may have taken place
	eventually(t, "a client connects after the outage", func() bool {
		se := session(s, "anna")
		tried = append(tried, ConnRef{ClientID: "anna", ConnID: se.ConnID})
		_, err := s.Connect(ctxb, se)
		return err == nil
	})
	eventually(t, "it disconnects", func() bool { return s.Disconnect(ctxb, "n1", tried) == nil })
	eventually(t, "anna is offline", func() bool {
		info, err := s.Client(ctxb, "anna")
		return err == nil && !info.Online
	})
	stop()
	left, err := s.do(ctxb, s.client.B().Exists().Key(s.keys.janitor()).Build()).AsInt64()
	must(t, err)
	wantEqual(t, "locks left", left, 0)
}

func TestJanitorEndsWhileRedisIsAway(t *testing.T) {
	redis := redistest.Start(t)
	s := openHasty(t, Options{URL: redis.URL()})
	var failures atomic.Int32
	stop := runJanitor(t, s, func(error) { failures.Add(1) })
	redis.Kill()
	eventually(t, "the outage is reported", func() bool { return failures.Load() > 0 })
	began := time.Now()
	stop()
	if d := time.Since(began); d > 15*time.Second {
		t.Fatalf("it took %v to stop", d)
	}
}
