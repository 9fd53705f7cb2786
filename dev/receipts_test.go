package dev

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver"
	"github.com/imtier/imtier/internal/settings"
	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/webapi"
)

// rueidis looks at the layout of a cluster at most once in a while, with a goroutine that sleeps until then.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

const patience = 25 * time.Second // how long something may take on a busy machine

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
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

// installation is webapi and imservers in this process, on a Redis.
type installation struct {
	t     *testing.T
	redis *redistest.Server // nil: embedded
	url   string
	web   string
	nodes []func() error // stop them
}

var testKey = "test:" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func install(t *testing.T, embedded bool) *installation {
	t.Helper()
	in := &installation{t: t}
	if embedded {
		in.url = redistest.Embedded(t)
	} else {
		in.redis = redistest.Start(t)
		in.url = in.redis.URL()
	}
	var cfg webapi.Config
	in.parse(&cfg, "--api-keys="+APIKey)
	cfg.Embedded = embedded
	web, err := webapi.New(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	in.web = "http://" + web.Addr()
	in.run(web.Run)
	in.node()
	return in
}

// parse reads settings as the programs do.
func (in *installation) parse(cfg interface{ Register(*settings.Set) }, args ...string) {
	in.t.Helper()
	set := settings.New("test")
	cfg.Register(set)
	if err := set.Parse(append([]string{
		"--redis-url=" + in.url, "--partitions=16", "--signing-keys=" + testKey, "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0",
	}, args...), nil); err != nil {
		in.t.Fatal(err)
	}
}

func (in *installation) run(run func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-result })
	in.t.Cleanup(func() { _ = stop() })
	return stop
}

// node adds an imserver; clients that come after the ones before have stopped are sent to it.
func (in *installation) node() {
	in.t.Helper()
	var cfg imserver.Config
	in.parse(&cfg, "--drain-timeout=1s", "--offline-grace=100ms")
	cfg.Embedded = in.redis == nil
	srv, err := imserver.New(cfg, zap.NewNop())
	if err != nil {
		in.t.Fatal(err)
	}
	in.nodes = append(in.nodes, in.run(srv.Run))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if srv.PublicURL(ctx) == "" {
		in.t.Fatal("the node did not start")
	}
}

// post calls webapi.
func (in *installation) post(path string, body any, into any) (status int) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	req, err := http.NewRequest(http.MethodPost, in.web+path, bytes.NewReader(b))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+APIKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		in.t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if into != nil && json.Unmarshal(answer, into) != nil {
		in.t.Errorf("%s: %d %s", path, resp.StatusCode, answer)
	}
	return resp.StatusCode
}

type msg map[string]any

// sent is the answer to a send.
type sent struct {
	ID        string
	Duplicate bool
	Results   []struct {
		ClientID, Pos, State string
		Online               bool
	}
}

func (s sent) states() (all []string) {
	for _, r := range s.Results {
		all = append(all, r.ClientID+" "+r.State)
	}
	return all
}

func (in *installation) send(m msg) (s sent) {
	in.t.Helper()
	m["data"] = "hi"
	if status := in.post("/v1/messages", m, &s); status != http.StatusOK {
		in.t.Errorf("send %v: %d", m, status)
	}
	return s
}

// frame is what a client of imtier.v1 got.
type frame struct {
	Type, Stream, ID, ClientID, State string
	Pos                               json.RawMessage
}

// peer is a client. One of imtier.v1 acknowledges when told to.
type peer struct {
	t    *testing.T
	ws   *websocket.Conn
	done chan struct{}

	mu  sync.Mutex
	all []frame
	raw []string
	err error
}

func (in *installation) connect(clientID, device string, v1 bool) *peer {
	in.t.Helper()
	o := &websocket.DialOptions{HTTPClient: client}
	if v1 {
		o.Subprotocols = []string{protocol.Subprotocol}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var ws *websocket.Conn
	eventually(in.t, "a connection", func() bool { // webapi offers a node for a moment after it stopped
		var u struct{ URL string }
		if in.post("/v1/connect", msg{"clientId": clientID, "device": device}, &u) != http.StatusOK {
			return false
		}
		c, resp, err := websocket.Dial(ctx, u.URL, o)
		if resp != nil && resp.Body != nil {
			resp.Body.Close()
		}
		ws = c
		return err == nil
	})
	p := &peer{t: in.t, ws: ws, done: make(chan struct{})}
	go p.read(v1)
	in.t.Cleanup(p.leave)
	if v1 {
		p.send(`{"type":"start"}`)
		p.wait("started", func() bool { return p.count("started") == 1 })
	}
	return p
}

func (p *peer) leave() { p.ws.CloseNow(); <-p.done }

func (p *peer) read(v1 bool) {
	defer close(p.done)
	for {
		_, b, err := p.ws.Read(context.Background())
		var f frame
		if err == nil && v1 {
			err = json.Unmarshal(b, &f)
		}
		p.mu.Lock()
		if err != nil {
			p.err = err
			p.mu.Unlock()
			return
		}
		p.all, p.raw = append(p.all, f), append(p.raw, string(b))
		p.mu.Unlock()
	}
}

func (p *peer) send(text string) {
	p.t.Helper()
	if err := p.ws.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		p.t.Error(err)
	}
}

func (p *peer) frames() []frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// texts are the frames as they came.
func (p *peer) texts() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.raw)
}

func (p *peer) count(kind string) (n int) {
	for _, f := range p.frames() {
		if f.Type == kind {
			n++
		}
	}
	return n
}

func (p *peer) wait(what string, cond func() bool) {
	p.t.Helper()
	defer func() {
		if p.t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Logf("frames: %q, %v", p.raw, p.err)
		}
	}()
	eventually(p.t, what, cond)
}

// ack waits for n messages and acknowledges them.
func (p *peer) ack(n int) {
	p.t.Helper()
	p.wait(fmt.Sprint(n, " messages"), func() bool { return p.count("message") >= n })
	for _, f := range p.frames() {
		if f.Type == "message" && f.Stream == "inbox" {
			if n--; n == 0 {
				p.send(`{"type":"ack","pos":{"inbox":` + string(f.Pos) + `}}`)
			}
		}
	}
}

// receipts lists what a sender was told.
func (p *peer) receipts() (all []string) {
	for _, f := range p.frames() {
		if f.Type == "receipt" {
			if f.Stream != "inbox" || len(f.Pos) < 5 {
				p.t.Errorf("a receipt without its place: %+v", f)
			}
			all = append(all, f.ID+" "+f.ClientID+" "+f.State)
		}
	}
	return all
}

func (p *peer) expectReceipts(want ...string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("%q", want), func() bool { return len(p.receipts()) >= len(want) })
	if got := p.receipts(); !slices.Equal(got, want) {
		p.t.Errorf("receipts %q, want %q", got, want)
	}
}

func onBoth(t *testing.T, test func(t *testing.T, in *installation)) {
	t.Run("redis", func(t *testing.T) { test(t, install(t, false)) })
	t.Run("embedded", func(t *testing.T) { test(t, install(t, true)) })
}

func TestReceiptsReachEveryDeviceOfTheSender(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		phone, laptop, raw := in.connect("alice", "phone", true), in.connect("alice", "laptop", true), in.connect("alice", "tv", false)
		bob, rawCarl := in.connect("bob", "web", true), in.connect("carl", "web", false)
		in.send(msg{"to": []string{"bob", "carl", "dora"}, "from": "alice", "id": "m1", "receipt": "read"})
		want := []string{"m1 carl delivered"} // its kernel took the bytes
		phone.expectReceipts(want...)
		bob.ack(1)
		want = append(want, "m1 bob delivered")
		phone.expectReceipts(want...)
		bob.send(`{"type":"read","ids":["m1","other"]}`)
		want = append(want, "m1 bob read")
		phone.expectReceipts(want...)
		laptop.expectReceipts(want...)
		in.send(msg{"to": "alice", "id": "end"})
		raw.wait("the end", func() bool { return len(raw.texts()) > 0 })
		if a, c := raw.texts(), rawCarl.texts(); !slices.Equal(a, []string{`"hi"`}) || !slices.Equal(c, a) {
			t.Errorf("raw connections got %q and %q", a, c)
		}
	})
}

// The receiver comes back on another node, the sender later than the receipt.
func TestReceiptsOverNodesAndAbsence(t *testing.T) {
	in := install(t, false)
	in.connect("bob", "web", true).leave()
	in.send(msg{"to": "bob", "from": "alice", "id": "m1", "receipt": "delivered", "ttl": 600})
	in.node()
	if err := in.nodes[0](); err != nil {
		t.Fatal(err)
	}
	bob := in.connect("bob", "web", true)
	bob.ack(1)
	in.send(msg{"to": "bob", "from": "alice", "id": "m2", "receipt": "delivered"})
	bob.ack(2)
	again := in.send(msg{"to": "bob", "from": "alice", "id": "m2", "receipt": "delivered", "waitMs": 20000})
	if !again.Duplicate || !slices.Equal(again.states(), []string{"bob delivered"}) {
		t.Errorf("the repetition: %+v", again)
	}
	alice := in.connect("alice", "web", true)
	alice.expectReceipts("m1 bob delivered", "m2 bob delivered")
}

func TestExpiredIsTold(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		alice, bob := in.connect("alice", "web", true), in.connect("bob", "web", true)
		var got []string
		var mu sync.Mutex
		h, err := imhelper.New(t.Context(), imhelper.Options{RedisURL: in.url, Partitions: 16})
		if err == nil { // the embedded Redis is none that this would take
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			var consumed atomic.Bool
			wg.Go(func() {
				_ = h.Events(ctx, "test", func(_ context.Context, e imhelper.Event) error {
					mu.Lock()
					defer mu.Unlock()
					if e.Type == "receipt" {
						got = append(got, e.ID+" "+e.ClientID+" "+e.From+" "+e.State)
					}
					return nil
				}, imhelper.Ready(func() { consumed.Store(true) }))
			})
			defer h.Close()
			defer wg.Wait()
			defer cancel()
			eventually(t, "events are consumed", consumed.Load)
		}
		in.send(msg{"to": "bob", "from": "alice", "id": "m1", "receipt": "read", "ttl": 600})
		bob.ack(1)
		alice.expectReceipts("m1 bob delivered")
		in.send(msg{"to": []string{"nobody"}, "from": "alice", "id": "m1", "receipt": "read", "ttl": 1})
		alice.expectReceipts("m1 bob delivered", "m1 nobody expired")
		if err == nil {
			eventually(t, "the events", func() bool {
				mu.Lock()
				defer mu.Unlock()
				slices.Sort(got)
				return slices.Contains(got, "m1 nobody alice expired")
			})
		}
	})
}

func TestSendWaits(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		bob := in.connect("bob", "web", true)
		in.connect("carl", "web", false)
		var wg sync.WaitGroup
		wg.Go(func() { bob.ack(1) })
		begin := time.Now()
		all := in.send(msg{"to": []string{"bob", "carl"}, "waitMs": 20000})
		wg.Wait()
		if took := time.Since(begin); took > 10*time.Second || !slices.Equal(all.states(), []string{"bob delivered", "carl delivered"}) {
			t.Errorf("after %v: %+v", took, all)
		}
		// On a busy machine the word of carl's node may come later than the answer.
		for wait := 600; ; wait *= 3 {
			some := in.send(msg{"to": []string{"bob", "carl"}, "from": "alice", "receipt": "delivered", "waitMs": wait})
			if slices.Equal(some.states(), []string{"bob queued", "carl delivered"}) {
				break
			}
			if !slices.Equal(some.states(), []string{"bob queued", "carl queued"}) || wait > 10_000 {
				t.Fatalf("after %d ms: %+v", wait, some)
			}
		}
		none := in.send(msg{"to": "nobody", "from": "alice", "receipt": "read", "waitMs": 1})
		if !slices.Equal(none.states(), []string{"nobody queued"}) {
			t.Errorf("%+v", none)
		}
		if plain := in.send(msg{"to": "carl"}); plain.Results[0].State != "" {
			t.Errorf("without waiting: %+v", plain)
		}
		var out struct {
			Results []struct {
				ID, Code, Field string
			}
		}
		in.post("/v1/batch", msg{"sends": []msg{
			{"kind": "direct", "to": "carl", "from": "zoe", "id": "b1", "data": 1, "receipt": "delivered"},
			{"kind": "direct", "to": "carl", "from": "zoe", "data": 1, "waitMs": 5},
		}}, &out)
		if out.Results[0].ID != "b1" || out.Results[1].Field != "waitMs" {
			t.Errorf("batch: %+v", out)
		}
		in.connect("zoe", "web", true).expectReceipts("b1 carl delivered")
	})
}

func TestRedisDiesWhileASendWaits(t *testing.T) {
	in := install(t, false)
	bob := in.connect("bob", "web", true)
	var wg sync.WaitGroup
	wg.Go(func() {
		bob.wait("the message", func() bool { return bob.count("message") == 1 })
		in.redis.Kill()
	})
	begin := time.Now()
	status := in.post("/v1/messages", msg{"to": "bob", "data": 1, "waitMs": 30000}, nil)
	wg.Wait()
	if took := time.Since(begin); status != http.StatusServiceUnavailable || took > 10*time.Second {
		t.Errorf("status %d after %v", status, took)
	}
}

func TestStoppingAnswersWhoWaits(t *testing.T) {
	in := install(t, false)
	var cfg webapi.Config
	in.parse(&cfg, "--api-keys="+APIKey)
	web, err := webapi.New(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	in.web = "http://" + web.Addr()
	stop := in.run(web.Run)
	bob := in.connect("bob", "web", true)
	var wg sync.WaitGroup
	wg.Go(func() {
		bob.wait("the message", func() bool { return bob.count("message") == 1 })
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	begin := time.Now()
	s := in.send(msg{"to": "bob", "waitMs": 30000})
	wg.Wait()
	if took := time.Since(begin); took > 15*time.Second || len(s.Results) != 1 || s.Results[0].State != "queued" {
		t.Errorf("after %v: %+v", took, s)
	}
}

func TestBadReadFrame(t *testing.T) {
	in := install(t, true)
	bob := in.connect("bob", "web", true)
	bob.send(`{"type":"read","ids":[` + strings.Repeat(`"x",`, 1000) + `"x"]}`)
	<-bob.done
	if code := websocket.CloseStatus(bob.err); code != 4503 {
		t.Errorf("closed with %v", bob.err)
	}
}
