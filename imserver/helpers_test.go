package imserver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/imtier/imtier/internal/settings"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/ticket"
)

// rueidis looks at the layout of a cluster at most once in a while, with a goroutine that sleeps until then.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

const (
	patience   = 25 * time.Second // how long something may take on a busy machine
	partitions = 16
)

var signingKeys = "test:" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// running is an imserver in this process.
type running struct {
	t    *testing.T
	srv  *Server
	url  string
	logs *observer.ObservedLogs
	stop func() error // like SIGTERM; waits for the end
}

func configure(redisURL string) Config {
	return Config{
		Common: settings.Common{
			RedisURL: redisURL, SigningKeys: signingKeys, Partitions: partitions, HistorySize: 1000,
			HistoryTTL: time.Hour, MaxMessage: 64 << 10,
		},
		Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", PingInterval: 25 * time.Second, PongTimeout: 10 * time.Second,
		OfflineGrace: 100 * time.Millisecond, DevicePolicy: "any", DrainTimeout: 2 * time.Second, OutboxSize: 256 << 10,
		InboundFrames: 50, InboundBytes: 200 << 10,
	}
}

// launch starts a node and does not wait until it is ready.
func launch(t *testing.T, cfg Config) *running {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	srv, err := New(cfg, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- srv.Run(ctx) }()
	n := &running{t: t, srv: srv, logs: logs}
	n.stop = sync.OnceValue(func() error { cancel(); return <-result })
	t.Cleanup(func() {
		_ = n.stop() // the test looks at it when it matters
		if t.Failed() {
			for _, e := range logs.FilterLevelExact(zapcore.WarnLevel).All() {
				t.Log(e.Message, e.ContextMap())
			}
		}
		for _, e := range logs.All() {
			line := e.Message + fmt.Sprint(e.ContextMap())
			if strings.Contains(line, "token=") || strings.Contains(line, "eyJ") {
				t.Errorf("a token is in the log: %s", line)
			}
		}
	})
	return n
}

// start starts a node and waits until clients can come.
func start(t *testing.T, redisURL string, change ...func(*Config)) *running {
	t.Helper()
	cfg := configure(redisURL)
	for _, f := range change {
		f(&cfg)
	}
	n := launch(t, cfg)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if n.url = n.srv.PublicURL(ctx); n.url == "" {
		t.Fatalf("the node did not start: %v", n.stop())
	}
	eventually(t, "ready", func() bool { return n.ready() == http.StatusOK })
	return n
}

var web = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func (n *running) admin(path string) (int, string) {
	n.t.Helper()
	resp, err := web.Get("http://" + n.srv.AdminAddr() + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func (n *running) ready() int { code, _ := n.admin("/readyz"); return code }

func (n *running) state() (s State) {
	n.t.Helper()
	_, body := n.admin("/state")
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		n.t.Fatalf("%v: %s", err, body)
	}
	return s
}

func open(t *testing.T, redisURL string) *store.Store {
	t.Helper()
	var st *store.Store
	eventually(t, "the store opens", func() (open bool) {
		var err error
		st, err = store.Open(context.Background(), store.Options{URL: redisURL, Partitions: partitions, OfflineGrace: 100 * time.Millisecond})
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil
	})
	t.Cleanup(st.Close)
	return st
}

// sign makes the query of a URL.
func sign(t testing.TB, c ticket.Claims) string {
	t.Helper()
	keys, err := ticket.ParseKeys(signingKeys)
	if err != nil {
		t.Fatal(err)
	}
	if c.ExpiresAt.IsZero() {
		c.ExpiresAt = time.Now().Add(30 * time.Second)
	}
	token, err := keys.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return "?token=" + token
}

// frame is what a client of imtier.v1 got.
type frame struct {
	Type, Stream, ID, Group, ConnID, Node, Session string
	Pos                                            json.RawMessage
	Recovered                                      map[string]bool
	Data                                           json.RawMessage
	URL                                            string
	WithinMs                                       int64
	raw                                            string
}

// client is a WebSocket client that reads all the time.
type client struct {
	t    *testing.T
	ws   *websocket.Conn
	done chan struct{}

	mu  sync.Mutex
	all []frame
	err error
}

// dial opens a URL; an imtier.v1 client has started when it returns.
func dial(t *testing.T, url string, v1 bool) *client {
	t.Helper()
	k := dialAs(t, url, v1)
	if v1 {
		k.start(nil)
	}
	return k
}

// dialOnly opens a URL for a client of imtier.v1 that is to start later.
func dialOnly(t *testing.T, url string) *client { t.Helper(); return dialAs(t, url, true) }

// start begins where a client that received some frames stopped.
func (k *client) start(after []frame) {
	k.t.Helper()
	pos := map[string]json.RawMessage{}
	for _, f := range after {
		if f.Type == "message" && len(f.Pos) > 0 {
			pos[f.Stream] = f.Pos
		}
	}
	b, err := json.Marshal(map[string]any{"type": "start", "pos": pos})
	if err != nil {
		k.t.Fatal(err)
	}
	k.send(string(b))
	k.wait("started", func(all []frame) bool {
		return slices.ContainsFunc(all, func(f frame) bool { return f.Type == "started" })
	})
}

func dialAs(t *testing.T, url string, v1 bool) *client {
	t.Helper()
	k, _, err := tryDial(t, url, v1)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// tryDial returns the status of a handshake that was refused, too.
func tryDial(t *testing.T, url string, v1 bool) (*client, int, error) {
	t.Helper()
	o := &websocket.DialOptions{HTTPClient: web}
	if v1 {
		o.Subprotocols = []string{protocol.Subprotocol}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, resp, err := websocket.Dial(ctx, url, o)
	status := 0
	if resp != nil {
		status = resp.StatusCode
		if resp.Body != nil {
			resp.Body.Close()
		}
	}
	if err != nil {
		return nil, status, err
	}
	ws.SetReadLimit(-1)
	k := &client{t: t, ws: ws, done: make(chan struct{})}
	go k.read(v1)
	t.Cleanup(func() { ws.CloseNow(); <-k.done })
	return k, status, nil
}

func decode(t testing.TB, b []byte) (f frame) {
	t.Helper()
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func (k *client) read(v1 bool) {
	defer close(k.done)
	for {
		_, b, err := k.ws.Read(context.Background())
		f := frame{raw: string(b)}
		if err == nil && v1 {
			err = json.Unmarshal(b, &f)
		}
		k.mu.Lock()
		if err != nil {
			k.err = err
			k.mu.Unlock()
			return
		}
		k.all = append(k.all, f)
		k.mu.Unlock()
	}
}

// connect opens a new URL, and another one while the node says that Redis is away, as on a busy machine.
func (n *running) connect(v1 bool, c ticket.Claims) (k *client) {
	n.t.Helper()
	eventually(n.t, c.ClientID+" is let in", func() bool {
		var status int
		var err error
		if k, status, err = tryDial(n.t, n.url+sign(n.t, c), v1); err != nil && status != http.StatusServiceUnavailable {
			n.t.Fatal(err)
		}
		return err == nil
	})
	if v1 {
		k.start(nil)
	}
	return k
}

func (k *client) send(text string) {
	k.t.Helper()
	if err := k.ws.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		k.t.Fatal(err)
	}
}

func (k *client) frames() []frame {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.all)
}

func (k *client) wait(what string, cond func([]frame) bool) {
	k.t.Helper()
	defer func() {
		if k.t.Failed() {
			for _, f := range k.frames() {
				k.t.Logf("frame: %.150s", f.raw)
			}
		}
	}()
	eventually(k.t, what, func() bool { return cond(k.frames()) })
}

// ids lists the messages of all streams; of a raw client, the data.
func (k *client) ids() (ids []string) {
	for _, f := range k.frames() {
		switch f.Type {
		case "":
			ids = append(ids, strings.Trim(f.raw, `"`))
		case "message":
			ids = append(ids, f.ID)
		case "gap":
			ids = append(ids, "gap")
		}
	}
	return ids
}

func (k *client) expect(want ...string) {
	k.t.Helper()
	k.wait(fmt.Sprintf("%.200q", want), func([]frame) bool { return len(k.ids()) >= len(want) })
	if got := k.ids(); !slices.Equal(got, want) {
		k.t.Errorf("got %.300q, want %.300q", got, want)
	}
}

func (k *client) expectClose(code int) {
	k.t.Helper()
	select {
	case <-k.done:
	case <-time.After(patience):
		k.t.Fatalf("not closed, want %d", code)
	}
	if got := websocket.CloseStatus(k.err); int(got) != code {
		k.t.Errorf("closed with %v, want %d", k.err, code)
	}
}

func message(id string) *protocol.Envelope {
	return &protocol.Envelope{ID: id, Time: 1, Data: []byte(`"` + id + `"`)}
}

// publisher sends and fails the test when Redis is away longer than patience.
type publisher struct {
	t  *testing.T
	st *store.Store
}

func (p publisher) until(do func() error) {
	p.t.Helper()
	eventually(p.t, "a send", func() bool {
		err := do()
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			p.t.Fatal(err)
		}
		return err == nil
	})
}

func (p publisher) inbox(id string, to ...string) {
	p.t.Helper()
	p.until(func() error { _, err := p.st.PublishInbox(context.Background(), message(id), to, true); return err })
}

func (p publisher) group(id, group string) {
	p.t.Helper()
	p.until(func() error { _, err := p.st.PublishGroup(context.Background(), message(id), group, true); return err })
}

func (p publisher) all(id string) {
	p.t.Helper()
	p.until(func() error { _, err := p.st.PublishAll(context.Background(), message(id), true); return err })
}
