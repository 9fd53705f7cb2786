package rig

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/check"
	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/pkg/imhelper"
)

// WatchGroups are the groups of consumers of a Watch; the first has two members, the second one.
var WatchGroups = []string{"rig-pair", "rig-single"}

// refuseEvery is how often a consumer refuses an event, which then has to come again.
const refuseEvery = 50

// probePrefix begins the names of clients that come and go to find out whether the consumers work.
const probePrefix = "probe-"

// Watch consumes the events of an installation.
type Watch struct {
	Events *ledger.Events
	Before map[string]bool // who was online when it began; nil: nobody

	r      *Rig
	probes []string
	since  int64 // Unix milliseconds; from then on each event goes to all groups of consumers
	count  atomic.Int64
}

var errRefused = errors.New("refused, to get it again")

// Watch starts consumers, and waits until they get what happens.
func (r *Rig) Watch() *Watch {
	r.T.Helper()
	h, err := imhelper.New(r.T.Context(), imhelper.Options{RedisURL: r.RedisURL()})
	if err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(h.Close)
	w := &Watch{Events: &ledger.Events{}, r: r}
	for _, group := range append(WatchGroups[:1:1], WatchGroups...) {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = h.Events(r.T.Context(), group, func(_ context.Context, e imhelper.Event) error { return w.take(group, &e) })
		}()
		r.T.Cleanup(func() { <-ended })
	}
	Eventually(r.T, readyTimeout, "events are consumed", func() bool {
		id := fmt.Sprint(probePrefix, len(w.probes))
		w.probes = append(w.probes, id)
		r.Dial(id, client.Raw).Cut()
		deadline := time.Now().Add(time.Second)
		for ; time.Now().Before(deadline); <-time.After(poll) {
			if slices.Contains(w.of(WatchGroups[0], id), imhelper.EventOnline) && slices.Contains(w.of(WatchGroups[1], id), imhelper.EventOnline) {
				w.since = time.Now().UnixMilli() // who gives an event has made its group in every partition before
				return true
			}
		}
		return false
	})
	r.T.Cleanup(w.keepFailed)
	last := w.probes[len(w.probes)-1]
	Eventually(r.T, readyTimeout, "the probe is offline", func() bool { return slices.Contains(w.History(last), imhelper.EventOffline) })
	return w
}

// keepFailed writes the ledger of a failed test to where the others are.
func (w *Watch) keepFailed() {
	if w.r.T.Failed() {
		if err := ledger.SaveEvents(w.r.Dir, w.Events); err != nil {
			w.r.T.Log(err)
		}
	}
}

// events are those since both groups were there, of everybody but the probes: while the groups were being made, one may have
// got what the other did not.
func (w *Watch) events() []ledger.Event {
	return slices.DeleteFunc(w.Events.All(), func(e ledger.Event) bool {
		return e.Time < w.since || strings.HasPrefix(e.Client, probePrefix)
	})
}

func (w *Watch) take(group string, e *imhelper.Event) error {
	of := e.Group
	if e.Type == imhelper.EventReceipt {
		of = e.ID
	}
	w.Events.Add(ledger.Event{
		At: time.Now(), Group: group, Key: e.Key, Seq: e.Seq, Type: e.Type, Client: e.ClientID, Node: e.Node, Of: of,
		State: e.State, Time: e.Time,
	})
	if w.count.Add(1)%refuseEvery == 0 {
		return errRefused
	}
	return nil
}

// of lists the types of a client's events about presence that a group of consumers got, repetitions left out.
func (w *Watch) of(group, id string) []string { return histories(w.Events.All(), group)[id] }

// histories lists the same for all clients.
func histories(events []ledger.Event, group string) map[string][]string {
	seen := make(map[string]bool)
	out := make(map[string][]string)
	for _, e := range events {
		if e.Group == group && !seen[e.Key] && (e.Type == imhelper.EventOnline || e.Type == imhelper.EventOffline) {
			seen[e.Key] = true
			out[e.Client] = append(out[e.Client], e.Type)
		}
	}
	return out
}

// WantHistories fails the test for each client whose events about presence are not those wanted: who was offline for a moment has the
// right last event, and they alternate.
func (w *Watch) WantHistories(want map[string][]string) {
	w.r.T.Helper()
	for _, problem := range wrongHistories(w.Events.All(), want) {
		w.r.T.Error(problem)
	}
}

func wrongHistories(events []ledger.Event, want map[string][]string) (out []string) {
	for _, group := range WatchGroups {
		got := histories(events, group)
		for _, id := range slices.Sorted(maps.Keys(want)) {
			if !slices.Equal(got[id], want[id]) {
				out = append(out, fmt.Sprintf("events for %s say of %s %v, want %v", group, id, got[id], want[id]))
			}
		}
	}
	return out
}

// OnlineOnce and OfflineOnce are the histories of clients to whom nothing happened, and who went for good.
var (
	OnlineOnce  = []string{imhelper.EventOnline}
	OfflineOnce = []string{imhelper.EventOnline, imhelper.EventOffline}
)

// History is what both groups of consumers agree on about a client: the types of its events about presence. It is nil while
// they do not.
func (w *Watch) History(id string) []string {
	if h := w.of(WatchGroups[0], id); slices.Equal(h, w.of(WatchGroups[1], id)) {
		return h
	}
	return nil
}

// Check waits until the events say the same as truth (is each client online?), then for a moment more, and fails the test
// for whatever is wrong with them, and with what webapi says.
func (w *Watch) Check(truth map[string]bool, within time.Duration) {
	t := w.r.T
	t.Helper()
	begin := time.Now()
	found := w.Violations(truth, within)
	t.Logf("%d events of %d clients; they agree after %v", len(w.events()), len(truth), time.Since(begin).Round(10*time.Millisecond))
	for i, v := range found {
		if i == shown {
			t.Errorf("and %d more", len(found)-shown)
			break
		}
		t.Error(v)
	}
	w.wantOnline(t, truth)
}

// Violations are what is wrong with the events after a while. Events may go on: what is under way gets its time, also in the
// end.
func (w *Watch) Violations(truth map[string]bool, within time.Duration) []check.Violation {
	w.settle(truth, within)
	<-time.After(quiet)
	return w.settle(truth, within)
}

// settle waits until nothing is wrong, and returns what still is.
func (w *Watch) settle(truth map[string]bool, within time.Duration) (found []check.Violation) {
	for deadline := time.Now().Add(within); ; <-time.After(10 * poll) {
		found = check.Presence(w.events(), WatchGroups, w.Before, truth)
		if len(found) == 0 || time.Now().After(deadline) {
			return found
		}
	}
}

// wantOnline compares GET /v1/clients with the truth.
func (w *Watch) wantOnline(t testing.TB, truth map[string]bool) {
	t.Helper()
	ids, err := w.r.API.OnlineClients(t.Context())
	if err != nil {
		t.Error(err)
	}
	listed := make(map[string]bool)
	for _, id := range ids {
		listed[id] = true
	}
	for id, is := range truth {
		if listed[id] != is {
			t.Errorf("%s is listed as online: %v", id, listed[id])
		}
	}
	for id := range listed {
		if _, ok := truth[id]; !ok {
			t.Errorf("%s is listed as online, and nobody knows it", id)
		}
	}
}
