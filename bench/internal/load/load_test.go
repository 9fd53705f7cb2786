package load

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func plan(s *httptest.Server) Plan {
	host := strings.TrimPrefix(s.URL, "http://")
	return Plan{
		Senders: 4, Duration: 100 * time.Millisecond, Open: HTTP{Addr: host, Requests: [][]byte{
			Request(host, "/x", "key", []byte(`{"a":1}`)), Request(host, "/x", "key", []byte(`{"a":2}`)),
		}}.Open,
	}
}

func TestEveryAnswerIsCounted(t *testing.T) {
	var seen atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer key" || !strings.HasPrefix(string(body), `{"a":`) {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		seen.Add(1)
		_, _ = w.Write([]byte("fine"))
	}))
	defer s.Close()
	p := plan(s)
	r, err := Run(t.Context(), p)
	for err == nil && r.Done == 0 && p.Duration < time.Minute { // over before anything had begun
		p.Duration *= 2
		r, err = Run(t.Context(), p)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r.Done == 0 || r.Done != seen.Load() {
		t.Errorf("%d answers counted, %d given", r.Done, seen.Load())
	}
}

func TestARefusalIsAnError(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	}))
	defer s.Close()
	p := plan(s)
	p.Duration = time.Minute // the first answer ends it
	_, err := Run(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("got %v", err)
	}
}

func TestARefusedSendOfABatchIsAnError(t *testing.T) {
	results := []string{`{"id":"a","results":[{"clientId":"status","pos":"1-1","online":true}]}`}
	var body atomic.Pointer[string]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text := *body.Load()
		w.Header().Set("Content-Length", strconv.Itoa(len(text))) // net/http would send a large one in chunks
		_, _ = io.WriteString(w, text)
	}))
	defer s.Close()
	sender, err := plan(s).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	send := func(results []string) error {
		text := `{"results":[` + strings.Join(results, ",") + `]}`
		body.Store(&text)
		return sender.Send(t.Context(), 0, time.Now())
	}
	for len(results) < 1000 { // more than fits into the reader's buffer
		results = append(results, results[0])
	}
	if err := send(results); err != nil {
		t.Errorf("all were accepted: %v", err)
	}
	results[700] = `{"type":"about:blank","title":"Service Unavailable","status":503,"code":"unavailable","detail":"out of order"}`
	results[999] = results[700]
	if err := send(results); err == nil || !strings.Contains(err.Error(), "2 problems") || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("two of 1000 were refused: %v", err)
	}
	if err := send(results[:500]); err != nil {
		t.Errorf("the next answer: %v", err)
	}
}

func TestConnectingIsNoPartOfIt(t *testing.T) {
	var opened time.Time // when the last sender was there
	early := false
	p := Plan{Senders: 3, Rate: 100, Duration: 100 * time.Millisecond, Open: func(context.Context) (Sender, error) {
		<-time.After(20 * time.Millisecond)
		opened = time.Now()
		return Func(func(_ context.Context, i int64, at time.Time) error {
			if i == 0 {
				early = at.Before(opened)
			}
			return nil
		}), nil
	}}
	if r, err := Run(t.Context(), p); err != nil || r.Done != 10 || early {
		t.Errorf("%d done, %v; the first was to begin before all were there: %v", r.Done, err, early)
	}
}

func TestASenderThatCannotConnect(t *testing.T) {
	broken, closed := errors.New("no route"), 0
	p := Plan{Senders: 3, Duration: time.Minute, Open: func(context.Context) (Sender, error) {
		if closed--; closed == -3 {
			return nil, broken
		}
		return closer{func() { closed = 1 }}, nil
	}}
	if _, err := Run(t.Context(), p); !errors.Is(err, broken) || closed != 1 {
		t.Errorf("got %v; those that had connected are closed: %v", err, closed == 1)
	}
}

// closer is a Sender that tells of its end.
type closer struct{ close func() }

func (closer) Send(context.Context, int64, time.Time) error { return nil }
func (c closer) Close()                                     { c.close() }

func TestALoadOfNothingIsRefused(t *testing.T) {
	nothing := Func(func(context.Context, int64, time.Time) error { return nil })
	for _, p := range []Plan{
		{Senders: 1, Rate: 0.1, Duration: time.Second},
		{Senders: 1, Rate: -1, Duration: time.Second},
		{Senders: 0, Duration: time.Millisecond},
		{Senders: -1, Duration: time.Millisecond},
	} {
		p.Open = nothing.Open
		if r, err := Run(t.Context(), p); err == nil {
			t.Errorf("%+v: %d done", p, r.Done)
		}
	}
	p := Plan{Open: nothing.Open, Senders: 1, Rate: 0.7 / 0.1, Duration: time.Second / 7} // 0.99999… of one
	if r, err := Run(t.Context(), p); err != nil || r.Done != 1 {
		t.Errorf("%d done, %v; want one", r.Done, err)
	}
}

func TestWhatBeginsLateCountsFromWhenItWasToBegin(t *testing.T) {
	const stall = 200 * time.Millisecond
	var seen atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if seen.Add(1) == 1 {
			<-time.After(stall) // everything behind it is late
		}
		_, _ = w.Write([]byte("fine"))
	}))
	defer s.Close()
	host, stamped := strings.TrimPrefix(s.URL, "http://"), 0
	p := Plan{Senders: 1, Rate: 100, Duration: time.Second, Open: HTTP{
		Addr: host, Requests: [][]byte{Request(host, "/x", "key", []byte("{}"))},
		Stamp: func([]byte, time.Time) { stamped++ },
	}.Open}
	r, err := Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if r.Done != 100 || stamped != 100 || r.Took.Count() != 100 {
		t.Errorf("%d answered, %d stamped, %d measured, want 100", r.Done, stamped, r.Took.Count())
	}
	// The second request was to begin 10 ms after the first, the eleventh 100 ms: all of them waited.
	if got := r.Took.Quantile(0.9); got < stall/4 {
		t.Errorf("a tenth took more than %v: the wait of those that began late is missing", got)
	}
}
