package webapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/imtier/imtier/internal/settings"
	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// configured reads settings as the program does; pairs are name and value.
func configured(t *testing.T, args ...string) Config {
	t.Helper()
	var c Config
	set := settings.New("webapi")
	c.Register(set)
	err := set.Parse(append([]string{
		"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--partitions=16", "--api-keys=test-key",
		"--signing-keys=k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
	}, args...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// running is a Server that is run until the test ends.
type running struct {
	*Server
	logs *observer.ObservedLogs
	stop context.CancelFunc
	done chan error
}

func run(t *testing.T, c Config) *running {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	s, err := New(c, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{Server: s, logs: logs, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		t.Logf("Run returned %v", <-r.done)
		http.DefaultClient.CloseIdleConnections()
	})
	return r
}

// end stops the server and returns what Run returned.
func (r *running) end() error {
	r.stop()
	err := <-r.done
	r.done <- err // for the cleanup
	return err
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", "test-key")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		case <-tick.C:
		}
	}
}

func TestWaitsForRedisAndNoticesItsAbsence(t *testing.T) {
	redis := redistest.Start(t)
	redis.Stop()
	s := run(t, configured(t, "--redis-url=redis://user:sesame@"+redis.Addr))
	eventually(t, "two attempts are logged", func() bool {
		return s.logs.FilterMessage("redis is not reachable, will retry").Len() >= 2
	})
	for _, e := range s.logs.All() {
		for _, v := range e.ContextMap() {
			if text, ok := v.(string); ok && strings.Contains(text, "sesame") {
				t.Errorf("the log shows the password: %s", text)
			}
		}
	}
	if status, body := get(t, "http://"+s.AdminAddr()+"/readyz"); status != 503 || !strings.Contains(body, "redis") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if status, body := get(t, "http://"+s.Addr()+"/v1/nodes"); status != 503 || !strings.Contains(body, `"unavailable"`) {
		t.Errorf("before Redis: %d %s", status, body)
	}
	if err := s.end(); err != nil {
		t.Errorf("stopped while waiting: %v", err)
	}
}

func TestReadyFollowsRedis(t *testing.T) {
	redis := redistest.Start(t)
	s := run(t, configured(t, "--redis-url="+redis.URL()))
	ready := func() int { status, _ := get(t, "http://"+s.AdminAddr()+"/readyz"); return status }
	eventually(t, "ready", func() bool { return ready() == 200 })
	if status, body := get(t, "http://"+s.Addr()+"/v1/nodes"); status != 200 || body != `{"nodes":[]}` {
		t.Errorf("%d %s", status, body)
	}
	if _, body := get(t, "http://"+s.AdminAddr()+"/metrics"); !strings.Contains(body, `imtier_webapi_requests_total{class="2xx",route="listNodes"} 1`) {
		t.Errorf("the request is not counted")
	}
	redis.Kill()
	eventually(t, "unready", func() bool { return ready() == 503 })
	redis.Restart()
	eventually(t, "ready again", func() bool { return ready() == 200 })
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

func TestEndsWhenRedisCannotBeUsed(t *testing.T) {
	redis := redistest.Start(t)
	st, err := store.Open(t.Context(), store.Options{URL: redis.URL(), Partitions: 8})
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
	s := run(t, configured(t, "--redis-url="+redis.URL()))
	err = <-s.done
	s.done <- err
	if !errors.Is(err, imhelper.ErrPartitionMismatch) || !strings.Contains(err.Error(), "set partitions to 8") {
		t.Errorf("ended with %v", err)
	}
}

func TestPagesBySetting(t *testing.T) {
	redis := redistest.Start(t)
	for _, c := range []struct {
		name, path string
		args       []string
		want       int
	}{
		{"landing", "/", nil, 200},
		{"no demo", "/demo/app.js", nil, 404},
		{"no FreeIM", "/ws/offline?websocketId=x", nil, 404},
		{"demo", "/", []string{"--demo"}, 200},
		{"demo's files", "/demo/app.js", []string{"--demo"}, 200},
		{"demo's backend", "/demo/me", []string{"--demo"}, 401},
		{"FreeIM", "/ws/offline?websocketId=x", []string{"--freeim-api"}, 200},
		{"docs", "/docs", nil, 200},
		{"document", "/openapi.json", nil, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := run(t, configured(t, append(c.args, "--redis-url="+redis.URL())...))
			eventually(t, "ready", func() bool { return s.Ready() == nil })
			if status, body := get(t, "http://"+s.Addr()+c.path); status != c.want {
				t.Errorf("%s: %d %.200s", c.path, status, body)
			}
		})
	}
}

func TestBadSettings(t *testing.T) {
	for name, c := range map[string]struct{ arg, want string }{
		"short API key":   {"--api-keys=abc", "at least 7"},
		"user key":        {"--user-jwt-key=short", "at least 32"},
		"JWKS":            {"--user-jwt-jwks=ftp://x", "https://"},
		"signing key":     {"--signing-keys=k1:AAAA", "32"},
		"unknown setting": {"--api-key=x", "api-keys"},
	} {
		var cfg Config
		set := settings.New("webapi")
		cfg.Register(set)
		err := set.Parse([]string{"--api-keys=test-key", "--signing-keys=k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", c.arg}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPortInUse(t *testing.T) {
	first, err := New(configured(t), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := New(configured(t, "--listen="+first.Addr()), zap.NewNop()); err == nil {
		t.Error("two listeners on one port")
	}
}

func TestAWebhookNeedsASecret(t *testing.T) {
	c := configured(t, "--webhook-url=https://example.com/")
	if _, err := New(c, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "IM_WEBHOOK_SECRET") {
		t.Errorf("started: %v", err)
	}
	c = configured(t, "--webhook-requests")
	if _, err := New(c, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "IM_WEBHOOK_URL") {
		t.Errorf("started: %v", err)
	}
}

// The webhook is set up, and the program stops with one that cannot be reached.
func TestAWebhookRunsWithTheServer(t *testing.T) {
	redis := redistest.Start(t)
	got := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("webhook-id") }))
	defer receiver.Close()
	r := run(t, configured(t, "--redis-url="+redis.URL(), "--webhook-url="+receiver.URL,
		"--webhook-secret=whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "--webhook-events=join"))
	st, err := store.Open(t.Context(), store.Options{URL: redis.URL(), Partitions: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i, posted := 0, false; !posted; i++ {
		if _, err := st.Join(t.Context(), "g"+time.Now().String(), []string{"ann"}, store.JoinOptions{}); err != nil {
			t.Fatal(err)
		}
		select {
		case id := <-got:
			posted = strings.HasPrefix(id, "evt_")
		case <-tick.C:
			if i > 400 {
				t.Fatal("nothing is posted")
			}
		}
	}
	receiver.Close()
	if err := r.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
}
