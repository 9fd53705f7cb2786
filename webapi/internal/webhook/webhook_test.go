package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secrets = []string{"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "whsec_YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGlqYWI="}

// post is what the receiver got.
type post struct {
	id, typ, client, group string
	at                     time.Time
	status                 int
}

// rig is a receiver, and an installation whose events it gets.
type rig struct {
	t      *testing.T
	store  *store.Store
	helper *imhelper.Helper
	url    string
	stops  map[*Webhook]func()
	probes int // groups that client probe has joined, to see that events are posted

	mu     sync.Mutex
	answer func(w http.ResponseWriter, p post) // nil: 204
	posts  []post
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, stops: make(map[*Webhook]func())}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	r.url = srv.URL
	var err error
	r.store, err = store.Open(t.Context(), store.Options{URL: redistest.Start(t).URL(), Partitions: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.store.Close)
	if r.helper, err = imhelper.New(t.Context(), imhelper.Options{Store: r.store}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.helper.Close)
	return r
}

// ServeHTTP checks the signature with each of the secrets.
func (r *rig) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // it gave up
	}
	for _, secret := range secrets {
		if v, err := standardwebhooks.NewWebhook(secret); err != nil || v.Verify(body, req.Header) != nil {
			r.t.Errorf("the signature is not good: %v", req.Header)
		}
	}
	var p struct {
		Type      string
		Timestamp time.Time
		Data      struct{ ClientID, Group, ID string }
	}
	if err := json.Unmarshal(body, &p); err != nil || p.Timestamp.IsZero() || req.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("body %s: %v", body, err)
	}
	got := post{id: req.Header.Get("webhook-id"), typ: p.Type, client: p.Data.ClientID, group: p.Data.Group, at: time.Now(), status: http.StatusNoContent}
	r.mu.Lock()
	answer := r.answer
	r.mu.Unlock()
	rec := &statusRecorder{w, http.StatusNoContent}
	if answer != nil {
		answer(rec, got)
	} else {
		w.WriteHeader(http.StatusNoContent)
	}
	got.status = rec.status
	r.mu.Lock()
	r.posts = append(r.posts, got)
	r.mu.Unlock()
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

func (r *rig) answers(f func(w http.ResponseWriter, p post)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// of returns what the receiver got about a client: its groups, those it refused with a mark.
func (r *rig) of(client string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []string{}
	for _, p := range r.posts {
		if p.client == client {
			mark := ""
			if p.status/100 != 2 {
				mark = "!"
			}
			out = append(out, mark+p.group)
		}
	}
	return out
}

// start runs a webhook until the test ends, once its consumer group is there.
func (r *rig) start(change ...func(*Options)) *Webhook {
	r.t.Helper()
	o := Options{
		Helper: r.helper, URL: r.url, Secrets: secrets, Timeout: 20 * time.Second, Log: zap.NewNop(), Metrics: prometheus.NewRegistry(),
		Retries: []time.Duration{10 * time.Millisecond, 20 * time.Millisecond},
	}
	for _, f := range change {
		f(&o)
	}
	w, err := New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	r.stops[w] = func() { cancel(); <-done }
	r.t.Cleanup(func() { r.stop(w) })
	last := ""
	eventually(r.t, "events are posted", func() bool {
		r.probes++
		last = fmt.Sprint(r.probes)
		r.join("probe", last)
		return len(r.of("probe")) > 0
	})
	// None is left to get an answer that the test means for others.
	eventually(r.t, "all of these events", func() bool { return slices.Contains(r.of("probe"), last) })
	return w
}

// stop ends a webhook and waits.
func (r *rig) stop(w *Webhook) { r.stops[w]() }

func (r *rig) join(client string, groups ...string) {
	r.t.Helper()
	for _, g := range groups {
		if _, err := r.helper.Join(context.Background(), client, g); err != nil {
			r.t.Fatal(err)
		}
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

func (r *rig) expect(client string, want ...string) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("%s: %q", client, want), func() bool { return len(r.of(client)) >= len(want) })
	if got := r.of(client); !slices.Equal(got, want) {
		r.t.Errorf("%s: got %q, want %q", client, got, want)
	}
}

func TestEventsArePostedInOrder(t *testing.T) {
	r := newRig(t)
	w := r.start(func(o *Options) { o.Types = []string{"join"} })
	r.start() // a second webapi shares the work
	r.join("ann", "1", "2", "3")
	if _, err := r.helper.Leave(t.Context(), "ann", "2"); err != nil { // not asked for by the first
		t.Fatal(err)
	}
	r.join("ann", "4")
	eventually(t, "all of them", func() bool { return len(r.of("ann")) >= 4 && slices.Contains(r.of("ann"), "4") })
	got := slices.DeleteFunc(r.of("ann"), func(g string) bool { return g == "2" })
	if !slices.Equal(got, []string{"1", "3", "4"}) {
		t.Errorf("got %q", got)
	}
	if w.gone.Load() {
		t.Error("stopped")
	}
}

// An event that fails comes again with the same id, and before those of its client that follow; others do not wait.
func TestFailedEventsComeAgainInOrder(t *testing.T) {
	r := newRig(t)
	w := r.start(func(o *Options) {
		o.Retries = []time.Duration{200 * time.Millisecond, 300 * time.Millisecond, 100 * time.Millisecond}
	})
	fails := 3
	r.answers(func(w http.ResponseWriter, p post) {
		if p.client != "ann" || p.group != "1" || fails == 0 {
			w.WriteHeader(http.StatusOK)
			return
		}
		fails--
		switch fails {
		case 2:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.Header().Set("Location", r.url)
			w.WriteHeader(http.StatusFound)
		case 0:
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	r.join("ann", "1", "2")
	r.join(otherPartition(r, "ann"), "x")
	r.expect(otherPartition(r, "ann"), "x")
	r.expect("ann", "!1", "!1", "!1", "1", "2")
	var ids []string
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.posts {
		if p.client == "ann" && p.group == "1" {
			ids = append(ids, p.id)
		}
	}
	if len(slices.Compact(ids)) != 1 || !strings.HasPrefix(ids[0], "evt_") {
		t.Errorf("ids %q", ids)
	}
	if testutil.ToFloat64(w.metrics.failed) != 3 || testutil.ToFloat64(w.metrics.dead) != 0 {
		t.Error("metrics")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.tries) != 0 {
		t.Errorf("left over: %v", w.tries)
	}
}

func otherPartition(r *rig, client string) string {
	other := "bob"
	for i := 0; r.store.Partition(other) == r.store.Partition(client); i++ {
		other = fmt.Sprint("bob", i)
	}
	return other
}

func TestRetryAfterIsKept(t *testing.T) {
	for _, c := range []struct {
		name, after string
		longest     time.Duration // of the schedule
		atLeast     time.Duration
	}{
		{"within the schedule", "1", time.Minute, 900 * time.Millisecond},
		{"beyond it", "3600", 500 * time.Millisecond, 400 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.start(func(o *Options) { o.Retries = []time.Duration{time.Millisecond, c.longest, time.Millisecond} })
			var first sync.Once
			r.answers(func(w http.ResponseWriter, p post) {
				status := http.StatusOK
				if p.client == "ann" {
					first.Do(func() { w.Header().Set("Retry-After", c.after); status = http.StatusTooManyRequests })
				}
				w.WriteHeader(status)
			})
			r.join("ann", "1")
			r.expect("ann", "!1", "1")
			r.mu.Lock()
			defer r.mu.Unlock()
			if d := r.posts[len(r.posts)-1].at.Sub(r.posts[len(r.posts)-2].at); d < c.atLeast {
				t.Errorf("came again after %v", d)
			}
		})
	}
}

// A receiver that takes a request and says nothing costs an attempt its time-out, and no more: it ends as a dead letter,
// others are posted meanwhile, and stopping does not wait for it. What is left running the package's leak check finds.
func TestAReceiverThatNeverAnswers(t *testing.T) {
	r := newRig(t)
	const timeout = time.Second
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	w := r.start(func(o *Options) { o.Timeout = timeout })
	var tries, stuck atomic.Int32
	r.answers(func(w http.ResponseWriter, p post) {
		switch p.client {
		case "ann":
			tries.Add(1)
			<-hang
		case "carl":
			stuck.Add(1)
			<-hang
		}
		w.WriteHeader(http.StatusOK)
	})
	began := time.Now()
	r.join("ann", "1")
	r.join(otherPartition(r, "ann"), "x")
	r.expect(otherPartition(r, "ann"), "x")
	eventually(t, "a dead letter", func() bool { return testutil.ToFloat64(w.metrics.dead) == 1 })
	if took := time.Since(began); took < 3*timeout {
		t.Errorf("given up after %v", took)
	}
	letters, _, err := r.helper.DeadLetters(t.Context(), "", 0)
	if err != nil || len(letters) != 1 || letters[0].Attempts != 3 || !strings.Contains(letters[0].Error, "Timeout") {
		t.Errorf("letters %+v, %v", letters, err)
	}
	if n := tries.Load(); n != 3 {
		t.Errorf("%d attempts", n)
	}

	r.stop(w)
	slow := r.start(func(o *Options) { o.Timeout = MaxTimeout })
	r.join("carl", "1")
	eventually(t, "it hangs", func() bool { return stuck.Load() == 1 })
	began = time.Now()
	r.stop(slow)
	if took := time.Since(began); took > MaxTimeout/2 {
		t.Errorf("stopping took %v", took)
	}
}

func TestEventsBecomeDeadLettersAndAreRedelivered(t *testing.T) {
	r := newRig(t)
	w := r.start()
	r.answers(func(w http.ResponseWriter, p post) {
		if p.group == "bad" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	r.join("ann", "bad", "good")
	r.expect("ann", "!bad", "!bad", "!bad", "good")
	letters, next, err := r.helper.DeadLetters(t.Context(), "", 0)
	if err != nil || len(letters) != 1 || next != "" {
		t.Fatalf("%+v, %q, %v", letters, next, err)
	}
	l := letters[0]
	if l.Attempts != 3 || !strings.Contains(l.Error, "500") || !strings.Contains(string(l.Body), `"group":"bad"`) || time.Since(l.Time) > time.Minute {
		t.Errorf("letter %+v", l)
	}
	if testutil.ToFloat64(w.metrics.dead) != 1 {
		t.Error("it is not counted")
	}
	if err := w.Redeliver(t.Context(), l); err == nil {
		t.Error("redelivered to a receiver that refuses")
	}
	r.answers(nil)
	if err := w.Redeliver(t.Context(), l); err != nil {
		t.Error(err)
	}
	if got := r.of("ann"); got[len(got)-1] != "bad" {
		t.Errorf("got %q", got)
	}
	if letters, _, err := r.helper.DeadLetters(t.Context(), "", 0); err != nil || len(letters) != 0 {
		t.Errorf("left: %+v, %v", letters, err)
	}
	if _, err := r.helper.DeadLetter(t.Context(), l.ID); !errors.Is(err, imhelper.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestGoneStops(t *testing.T) {
	r := newRig(t)
	w := r.start()
	r.answers(func(w http.ResponseWriter, _ post) { w.WriteHeader(http.StatusGone) })
	r.join("ann", "1")
	r.expect("ann", "!1")
	eventually(t, "it stopped", func() bool { return testutil.ToFloat64(w.metrics.stopped) == 1 })
	r.answers(nil)
	r.join("ann", "2")
	again := r.start() // the next start of webapi goes on where it stopped
	r.expect("ann", "!1", "1", "2")
	if again.gone.Load() {
		t.Error("stopped again")
	}
}

// The URL may hold a secret; errors get into the log, dead letters and answers of the API.
func TestErrorsDoNotNameTheURL(t *testing.T) {
	r := newRig(t)
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	w, err := New(Options{
		Helper: r.helper, URL: srv.URL + "/services/s3cret?key=s3cret", Secrets: secrets, Timeout: 20 * time.Second,
		Log: zap.NewNop(), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.post(t.Context(), "evt_1", []byte("{}"), maxIgnored)
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}

// A receiver that hangs on one client's events gets the others' meanwhile.
func TestAHangingEventBlocksNoOtherPartition(t *testing.T) {
	r := newRig(t)
	r.start()
	release := make(chan struct{})
	r.answers(func(w http.ResponseWriter, p post) {
		if p.client == "ann" {
			<-release
		}
		w.WriteHeader(http.StatusOK)
	})
	r.join("ann", "1")
	other := otherPartition(r, "ann")
	r.join(other, "1", "2", "3")
	r.expect(other, "1", "2", "3")
	close(release)
	r.expect("ann", "1")
}

func write(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

func TestRequestsAreAnsweredByTheReceiver(t *testing.T) {
	r := newRig(t)
	r.start(func(o *Options) { o.Requests = true })
	ask := func(id string) string {
		for {
			err := r.store.Request(t.Context(), []store.Request{{ID: id, ClientID: "ann", Origin: "o", Data: json.RawMessage(`1`)}})[0]
			if err == nil {
				break
			}
		}
		var frame string
		eventually(t, "the answer", func() bool {
			replies, err := r.store.Replies(t.Context(), "ann", "o")
			for _, reply := range replies {
				if reply.ID == id {
					frame = reply.Frame
				}
			}
			return err == nil && frame != ""
		})
		return frame
	}
	for _, c := range []struct {
		id, want string
		answer   func(http.ResponseWriter)
	}{
		{"json", `"data":{"a":1}`, func(w http.ResponseWriter) { write(w, ` {"a":1}`) }},
		{"empty", `"data":null`, func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }},
		{"refused", `"error":{"code":"keep_off","message":"not yours"}`, func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusForbidden)
			write(w, `{"code":"keep_off","message":"not yours"}`)
		}},
		{"refused without a code", `"code":"failed"`, func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }},
		{"broken", `"code":"failed"`, func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }},
		{"no JSON", `"code":"failed"`, func(w http.ResponseWriter) { write(w, `{`) }},
		{"too big", `"code":"failed"`, func(w http.ResponseWriter) { write(w, `"`+strings.Repeat("x", protocol.DefaultMaxMessage+2)+`"`) }},
	} {
		r.answers(func(w http.ResponseWriter, _ post) { c.answer(w) })
		if got := ask(c.id); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.id, got)
		}
	}
}

func TestRetryAfterForms(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "99999999": 99999999 * time.Second,
		"Wed, 02 Jan 2030 03:04:35 GMT": 30 * time.Second, "Wed, 02 Jan 2030 03:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, bad := range []string{"", "example.com", "ftp://example.com", "https://", "https://a/#b"} {
		if CheckURL(bad) == nil {
			t.Errorf("URL %q is taken", bad)
		}
	}
	for _, bad := range []string{"", "whsec_", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "whsec_c2hvcnQ=", secrets[0] + ",x", "whsec_***"} {
		if CheckSecrets(bad) == nil {
			t.Errorf("secret %q is taken", bad)
		}
	}
	for _, bad := range []string{"", "x", "5", "-1s", "0s", "25h", strings.Repeat("1s,", 20) + "1s"} {
		if _, err := ParseRetries(bad); err == nil {
			t.Errorf("schedule %q is taken", bad)
		}
	}
	for _, bad := range []string{"", "nonsense", "online,", "lost"} {
		if _, err := ParseTypes(bad); err == nil {
			t.Errorf("types %q are taken", bad)
		}
	}
	if err := errors.Join(CheckURL("https://example.com/hook?x=1"), CheckSecrets(strings.Join(secrets, ", "))); err != nil {
		t.Error(err)
	}
}
