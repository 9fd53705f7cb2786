package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ask(t *testing.T, o Options, method, path string) (int, string) {
	t.Helper()
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	w := httptest.NewRecorder()
	Handler(o).ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
	return w.Code, w.Body.String()
}

func TestRoutes(t *testing.T) {
	sockets := prometheus.NewGauge(prometheus.GaugeOpts{Name: "imtier_sockets", Help: "open sockets"})
	sockets.Set(3)
	registry := prometheus.NewRegistry()
	registry.MustRegister(sockets)
	down := errors.New("redis is away")
	full := Options{
		Ready:   func() error { return nil },
		State:   func() any { return map[string]int{"connections": 18000} },
		Metrics: registry,
	}
	tests := []struct {
		name   string
		o      Options
		method string
		path   string
		code   int
		want   string
	}{
		{"alive", full, "GET", "/healthz", 200, `"ok"`},
		{"alive though not ready", Options{Ready: func() error { return down }}, "GET", "/healthz", 200, `"ok"`},
		{"ready", full, "GET", "/readyz", 200, `"ready"`},
		{"ready without a function", Options{}, "GET", "/readyz", 200, `"ready"`},
		{"not ready", Options{Ready: func() error { return down }}, "GET", "/readyz", 503, `"redis is away"`},
		{"state", full, "GET", "/state", 200, `"connections": 18000`},
		{"no state", Options{}, "GET", "/state", 200, `{}`},
		{"state that is no JSON", Options{State: func() any { return make(chan int) }}, "GET", "/state", 500, "encode"},
		{"metrics", full, "GET", "/metrics", 200, "imtier_sockets 3"},
		{"profiles", full, "GET", "/debug/pprof/", 200, "goroutine"},
		{"one profile", full, "GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{"command line stays hidden", full, "GET", "/debug/pprof/cmdline", 404, ""},
		{"unknown", full, "GET", "/", 404, ""},
		{"only GET", full, "POST", "/readyz", 405, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, body := ask(t, tt.o, tt.method, tt.path)
			if code != tt.code || !strings.Contains(body, tt.want) {
				t.Errorf("got %d %s, want %d with %s", code, body, tt.code, tt.want)
			}
		})
	}
}

func TestUnreadyBodyIsJSON(t *testing.T) {
	_, body := ask(t, Options{Ready: func() error { return errors.New("draining") }}, "GET", "/readyz")
	var got status
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got != (status{Status: "unready", Reason: "draining"}) {
		t.Errorf("got %+v", got)
	}
}

func TestCheck(t *testing.T) {
	ready := errors.New("starting")
	admin := httptest.NewServer(Handler(Options{Ready: func() error { return ready }, Metrics: prometheus.NewRegistry()}))
	defer admin.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>")
	}))
	defer other.Close()
	addr := strings.TrimPrefix(admin.URL, "http://")

	if err := Check(t.Context(), addr); !errors.Is(err, ErrUnready) || !strings.Contains(err.Error(), "starting") {
		t.Errorf("not ready: err = %v", err)
	}
	ready = nil
	if err := Check(t.Context(), addr); err != nil {
		t.Errorf("ready: err = %v", err)
	}
	if err := Check(t.Context(), strings.Replace(addr, "127.0.0.1", "0.0.0.0", 1)); err != nil {
		t.Errorf("listening on all interfaces: err = %v", err)
	}
	if err := Check(t.Context(), strings.TrimPrefix(other.URL, "http://")); !errors.Is(err, ErrUnready) {
		t.Errorf("some other server: err = %v", err)
	}
	for _, bad := range []string{"127.0.0.1", "127.0.0.1:0"} {
		if err := Check(t.Context(), bad); err == nil || errors.Is(err, ErrUnready) {
			t.Errorf("%s: err = %v", bad, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Check(ended, addr); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: err = %v", err)
	}
}

func TestDialable(t *testing.T) {
	for in, want := range map[string]string{
		":6061": "127.0.0.1:6061", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1", "10.0.0.1:1": "10.0.0.1:1", "host:1": "host:1",
	} {
		if got, err := dialable(in); got != want || err != nil {
			t.Errorf("dialable(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}
