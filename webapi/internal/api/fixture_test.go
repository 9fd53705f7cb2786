package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	apiKey      = "test-key-1"
	signingKeys = "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	nodeURL     = "ws://node-1.test/ws"
)

// fixture is an API on a Redis of its own.
type fixture struct {
	t     *testing.T
	redis *redistest.Server
	store *store.Store
	http  *httptest.Server
	logs  *observer.ObservedLogs
}

func start(t *testing.T, change ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, redis: redistest.Start(t)}
	var err error
	f.store, err = store.Open(t.Context(), store.Options{URL: f.redis.URL(), Partitions: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.store.Close)
	h, err := imhelper.New(t.Context(), imhelper.Options{Store: f.store, SigningKeys: signingKeys, MaxMessage: 2048})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	core, logs := observer.New(zapcore.DebugLevel)
	f.logs = logs
	o := Options{Helper: h, Keys: NewKeys([]string{"other-key", apiKey}), Log: zap.New(core), Metrics: prometheus.NewRegistry()}
	for _, c := range change {
		c(&o)
	}
	handler, err := New(o).Handler()
	if err != nil {
		t.Fatal(err)
	}
	f.http = httptest.NewServer(handler)
	t.Cleanup(f.http.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return f
}

// node registers an imserver that nobody runs.
func (f *fixture) node(id string) {
	f.t.Helper()
	n := store.Node{ID: id, URL: nodeURL, Started: time.Now(), Conns: 7}
	if _, err := f.store.RenewNode(f.t.Context(), n); err != nil {
		f.t.Fatal(err)
	}
	f.redis.KeepNode(id)
}

// connected registers a connection as an imserver would.
func (f *fixture) connected(clientID, device string) (connID string) {
	f.t.Helper()
	connID = protocol.NewConnID(f.store.Partition(clientID))
	_, err := f.store.Connect(f.t.Context(), store.Session{
		JTI: connID, JTITTL: time.Minute, ClientID: clientID, ConnID: connID, Node: "node-1", Device: device, IP: "192.0.2.1",
		Since: time.Now(), Meta: json.RawMessage(`{"nick":"N"}`),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return connID
}

// answer is a response that has been read.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// call sends a request with the API key; headers come in pairs and replace it.
func (f *fixture) call(method, path, body string, headers ...string) answer {
	f.t.Helper()
	var r io.Reader = http.NoBody
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, f.http.URL+path, r)
	if err != nil {
		f.t.Fatal(err)
	}
	if len(headers) == 0 {
		req.Header.Set("Authorization", "Bearer "+apiKey)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer{f.t, resp.StatusCode, resp.Header, string(b)}
}

// into demands a status and decodes the body.
func (a answer) into(status int, v any) {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %.300s", a.status, status, a.body)
	}
	if status == http.StatusNoContent {
		if a.body != "" {
			a.t.Fatalf("a body with 204: %s", a.body)
		}
		return
	}
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
}

// problem demands a problem of a status, code and field.
func (a answer) problem(status int, code, field string) {
	a.t.Helper()
	var p Problem
	a.into(status, &p)
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		a.t.Errorf("content type %q", ct)
	}
	if p.Status != status || p.Code != code || p.Field != field || p.Type != "about:blank" || p.Title == "" || p.Detail == "" {
		a.t.Errorf("problem %s, want status %d, code %q, field %q", a.body, status, code, field)
	}
	if field != "" && !strings.Contains(p.Detail, strings.TrimSuffix(field, "]")) {
		a.t.Errorf("the detail does not name the field: %s", a.body)
	}
}
