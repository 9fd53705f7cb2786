package load

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func plan(s *httptest.Server) Plan {
	host := strings.TrimPrefix(s.URL, "http://")
	return Plan{
		Addr: host, Conns: 4, Duration: 100 * time.Millisecond,
		Requests: [][]byte{Request(host, "/x", "key", []byte(`{"a":1}`)), Request(host, "/x", "key", []byte(`{"a":2}`))},
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
	r, err := Run(t.Context(), plan(s))
	if err != nil {
		t.Fatal(err)
	}
	if r.Answered == 0 || r.Answered != seen.Load() {
		t.Errorf("%d answers counted, %d given", r.Answered, seen.Load())
	}
}

func TestARefusalIsAnError(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	}))
	defer s.Close()
	_, err := Run(t.Context(), plan(s))
	if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("got %v", err)
	}
}
