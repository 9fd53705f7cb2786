package imserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

func TestMessagesReachClients(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	p := publisher{t, open(t, redis.URL())}
	v1 := n.connect(true, ticket.Claims{ClientID: "ann", Groups: []string{"chess"}})
	raw := n.connect(false, ticket.Claims{ClientID: "ann", Groups: []string{"chess"}, Device: "phone"})
	bob := n.connect(true, ticket.Claims{ClientID: "bob"})
	for i := range 20 {
		p.inbox(fmt.Sprint("i", i), "ann", "nobody")
		p.group(fmt.Sprint("g", i), "chess")
		p.all(fmt.Sprint("a", i))
	}
	for _, k := range []*client{v1, raw} {
		k.wait("all messages", func([]frame) bool { return len(k.ids()) == 60 })
		for _, kind := range []string{"i", "g", "a"} {
			last := -1
			for _, id := range k.ids() {
				var at int
				if _, err := fmt.Sscanf(id, kind+"%d", &at); err == nil {
					if at != last+1 {
						t.Fatalf("%s: %d after %d", kind, at, last)
					}
					last = at
				}
			}
		}
	}
	bob.wait("the broadcasts", func([]frame) bool { return len(bob.ids()) == 20 })
	if hello := v1.frames()[0]; hello.Type != "hello" || hello.Node != n.state().Node || hello.ConnID == "" {
		t.Errorf("hello %s", hello.raw)
	}
	if s := n.state(); s.Connections != 3 || s.Clients != 2 || s.Groups != 1 || !s.Subscribed {
		t.Errorf("state %+v", s)
	}
	for _, metric := range []string{"imtier_connections 3\n", "imtier_connections_opened_total 3\n", "imtier_messages_delivered_total 140\n"} {
		eventually(t, "the metrics say "+metric, func() bool { // what was written is counted afterwards
			_, body := n.admin("/metrics")
			return strings.Contains(body, metric)
		})
	}
}

func TestAURLWorksOnce(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	url := n.url + sign(t, ticket.Claims{ClientID: "ann"})
	const attempts = 100
	var wg sync.WaitGroup
	codes := make(chan int, attempts)
	for range attempts {
		wg.Go(func() { codes <- handshake(t, url, nil).code })
	}
	wg.Wait()
	close(codes)
	count := map[int]int{}
	for c := range codes {
		count[c]++
	}
	if count[http.StatusSwitchingProtocols] != 1 || count[http.StatusConflict] != attempts-1 {
		t.Errorf("got %v, want one 101 and 409 for the others", count)
	}
}

// answer is what a handshake got.
type answer struct {
	code    int
	header  http.Header
	problem struct {
		Status      int
		Code, Title string
	}
}

func handshake(t *testing.T, url string, change func(*http.Request)) (a answer) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, strings.Replace(url, "ws://", "http://", 1), http.NoBody)
	if err != nil {
		t.Error(err)
		return a
	}
	for k, v := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
	} {
		req.Header.Set(k, v)
	}
	if change != nil {
		change(req)
	}
	resp, err := web.Do(req)
	if err != nil {
		t.Error(err)
		return a
	}
	defer resp.Body.Close()
	a.code, a.header = resp.StatusCode, resp.Header
	if resp.StatusCode != http.StatusSwitchingProtocols && resp.Header.Get("Content-Type") == "application/problem+json" {
		if err := json.NewDecoder(resp.Body).Decode(&a.problem); err != nil {
			t.Error(err)
		}
	}
	return a
}

func TestRefusals(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL(), func(c *Config) { c.AllowedOrigins = []string{"https://shop.example"}; c.MaxConns = 2 })
	token := sign(t, ticket.Claims{ClientID: "ann"})
	origin := func(o string) func(*http.Request) { return func(r *http.Request) { r.Header.Set("Origin", o) } }
	drop := func(h string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(h) } }
	tests := []struct {
		name   string
		query  string
		change func(*http.Request)
		code   int
		text   string
	}{
		{"no token", "", nil, 401, "token_missing"},
		{"nonsense", "?token=nonsense", nil, 401, "token_invalid"},
		{"oversized", "?token=" + strings.Repeat("x", 10000), nil, 401, "token_invalid"},
		{"tampered", token[:len(token)-4] + "AAAA", nil, 401, "token_invalid"},
		{
			"expired", sign(t, ticket.Claims{ClientID: "ann", IssuedAt: time.Now().Add(-time.Minute), ExpiresAt: time.Now().Add(-30 * time.Second)}),
			nil, 401, "token_expired",
		},
		{"foreign origin", token, origin("https://evil.example"), 403, "origin_forbidden"},
		{"similar origin", token, origin("https://shop.example.evil.example"), 403, "origin_forbidden"},
		{"a host that ends like this one", token, origin("http://x127.0.0.1:80"), 403, "origin_forbidden"},
		{"opaque origin", token, origin("null"), 403, "origin_forbidden"},
		{"no upgrade", token, drop("Upgrade"), 426, "upgrade_required"},
		{"no key", token, drop("Sec-WebSocket-Key"), 426, "upgrade_required"},
		{"old version", token, func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, 426, "upgrade_required"},
		{"allowed origin, after all those", token, origin("https://shop.example"), 101, ""}, // no refusal used the URL up
		{"used", token, nil, 409, "token_used"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := handshake(t, n.url+tt.query, tt.change)
			if a.code != tt.code || a.problem.Code != tt.text {
				t.Fatalf("got %d %q, want %d %q", a.code, a.problem.Code, tt.code, tt.text)
			}
			if tt.code != 101 && (a.problem.Status != tt.code || a.problem.Title == "" || a.header.Get("Cache-Control") != "no-store" ||
				a.header.Get("Referrer-Policy") != "no-referrer") {
				t.Errorf("problem %+v, header %v", a.problem, a.header)
			}
		})
	}
	t.Run("too many", func(t *testing.T) {
		eventually(t, "the connection above is gone", func() bool {
			_, text := n.admin("/metrics")
			return strings.Contains(text, `imtier_connections_closed_total{`)
		})
		n.connect(false, ticket.Claims{ClientID: "one"})
		n.connect(false, ticket.Claims{ClientID: "two"})
		a := handshake(t, n.url+sign(t, ticket.Claims{ClientID: "three"}), nil)
		if a.code != 503 || a.problem.Code != "too_many_connections" || a.header.Get("Retry-After") == "" {
			t.Errorf("got %d %+v", a.code, a.problem)
		}
	})
	t.Run("redis away", func(t *testing.T) {
		redis.Kill()
		eventually(t, "not ready", func() bool { return n.ready() == 503 })
		a := handshake(t, n.url+sign(t, ticket.Claims{ClientID: "three"}), nil)
		if a.code != 429 && a.code != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("got %d %+v", a.code, a.problem)
		}
	})
}

func TestTwoNodes(t *testing.T) {
	redis := redistest.Start(t)
	a, b := start(t, redis.URL()), start(t, redis.URL())
	st := open(t, redis.URL())
	p := publisher{t, st}
	ann := a.connect(true, ticket.Claims{ClientID: "ann", Groups: []string{"chess"}})
	bob := b.connect(true, ticket.Claims{ClientID: "bob", Groups: []string{"chess"}})
	ann2 := b.connect(true, ticket.Claims{ClientID: "ann", Device: "phone"})
	p.inbox("direct", "ann", "bob")
	for _, k := range []*client{ann, bob, ann2} {
		k.expect("direct")
	}
	p.group("group", "chess")
	for _, k := range []*client{ann, bob, ann2} {
		k.expect("direct", "group")
	}
	p.all("all")
	for _, k := range []*client{ann, bob, ann2} {
		k.expect("direct", "group", "all")
	}
	c := start(t, redis.URL())
	eventually(t, "three nodes are offered", func() bool {
		nodes, err := st.LiveNodes(context.Background())
		return err == nil && len(nodes) == 3
	})
	eve := c.connect(false, ticket.Claims{ClientID: "eve"})
	p.all("more")
	eve.expect("more")
}

func subscribers(redis *redistest.Server, channel string) bool {
	return redis.Do("PUBLISH", channel, "x") != ":0"
}

func TestChannelsAreFollowedOnDemand(t *testing.T) {
	redis := redistest.Start(t)
	a := start(t, redis.URL())
	start(t, redis.URL()) // has no part in it
	st := open(t, redis.URL())
	if n := a.state().Partitions; n > 2 {
		t.Errorf("an empty node follows %d channels", n)
	}
	group, inbox := st.GroupChannel(st.Partition("chess")), st.ClientChannel(st.Partition("ann"))
	if subscribers(redis, group) || subscribers(redis, inbox) {
		t.Error("somebody follows the channel of a group without members")
	}
	ann := a.connect(true, ticket.Claims{ClientID: "ann", Groups: []string{"chess"}})
	if redis.Do("PUBLISH", group, "x") != ":1" || redis.Do("PUBLISH", inbox, "x") != ":1" {
		t.Error("not exactly the node with the member follows the channels")
	}
	ann.ws.CloseNow()
	eventually(t, "the channels are left", func() bool { return !subscribers(redis, group) && !subscribers(redis, inbox) })
}

func TestJoinAndLeaveWhileConnected(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	p := publisher{t, st}
	ctx := context.Background()
	k := n.connect(true, ticket.Claims{ClientID: "ann"})
	raw := n.connect(false, ticket.Claims{ClientID: "ann", Device: "raw"})
	var want []string
	for i := range 20 {
		group := fmt.Sprint("group", i)
		p.group("before"+group, group)
		if _, err := st.Join(ctx, group, []string{"ann"}, store.JoinOptions{}); err != nil {
			t.Fatal(err)
		}
		p.group("at once "+group, group) // right after Join has returned
		want = append(want, "at once "+group)
	}
	for _, k := range []*client{k, raw} {
		k.wait("all messages", func([]frame) bool { return len(k.ids()) == len(want) })
		got := k.ids()
		slices.Sort(got)
		sorted := slices.Sorted(slices.Values(want))
		if !slices.Equal(got, sorted) {
			t.Errorf("got %q", got)
		}
	}
	joined := map[string]bool{}
	for _, f := range k.frames() {
		if f.Type == "joined" {
			joined[f.Group] = true
		}
		if f.Type == "message" && !joined[strings.TrimPrefix(f.Stream, "group:")] {
			t.Errorf("%s came before joined", f.ID)
		}
	}
	if _, err := st.Leave(ctx, "group0", []string{"ann"}); err != nil {
		t.Fatal(err)
	}
	k.wait("left", func(all []frame) bool { f := all[len(all)-1]; return f.Type == "left" && f.Group == "group0" })
	p.group("after leaving", "group0")
	p.inbox("end", "ann")
	k.expect(append(slices.Clone(k.ids()[:20]), "end")...)
}

func TestKick(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	phone := n.connect(true, ticket.Claims{ClientID: "ann", Device: "phone"})
	tab := n.connect(false, ticket.Claims{ClientID: "ann", Device: "web"})
	bob := n.connect(true, ticket.Claims{ClientID: "bob"})
	if closed, err := st.Kick(context.Background(), "ann", "phone", "", 4500); err != nil || closed != 1 {
		t.Errorf("kick: %d %v", closed, err)
	}
	phone.expectClose(4500)
	publisher{t, st}.inbox("still here", "ann", "bob")
	tab.expect("still here")
	bob.expect("still here")
	if closed, err := st.Kick(context.Background(), "ann", "", "", 4500); err != nil || closed == 0 {
		t.Errorf("kick: %d %v", closed, err)
	}
	tab.expectClose(4500)
	eventually(t, "ann is offline", func() bool {
		on, err := st.Online(context.Background(), []string{"ann", "bob"})
		return err == nil && !on["ann"] && on["bob"]
	})
}

func TestDevicePolicy(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL(), func(c *Config) { c.DevicePolicy = "one" })
	first := n.connect(true, ticket.Claims{ClientID: "ann"})
	second := n.connect(true, ticket.Claims{ClientID: "ann"})
	first.expectClose(4501)
	publisher{t, open(t, redis.URL())}.inbox("hello", "ann")
	second.expect("hello")
}

func TestAcknowledgementsAreKept(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	p := publisher{t, st}
	k := n.connect(true, ticket.Claims{ClientID: "ann"})
	p.inbox("a", "ann")
	p.inbox("b", "ann")
	k.expect("a", "b")
	var pos string
	for _, f := range k.frames() {
		if f.ID == "a" {
			if err := json.Unmarshal(f.Pos, &pos); err != nil {
				t.Fatal(err)
			}
		}
	}
	k.send(`{"type":"ack","pos":{"inbox":"` + pos + `"}}`)
	eventually(t, "the cursor is there for the next connection", func() bool {
		again := n.connect(true, ticket.Claims{ClientID: "ann"})
		p.inbox("end", "ann")
		again.wait("end", func([]frame) bool { return slices.Contains(again.ids(), "end") })
		return again.ids()[0] == "b"
	})
}

func TestStartFailures(t *testing.T) {
	redis := redistest.Start(t)
	open(t, redis.URL()) // records the number of partitions
	cfg := configure(redis.URL())
	cfg.Partitions = 2 * partitions
	srv, err := New(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.Run(ctx); !errors.Is(err, store.ErrPartitionMismatch) {
		t.Errorf("got %v, want a partition mismatch", err)
	}
	cfg.SigningKeys = "short"
	if _, err := New(cfg, zap.NewNop()); err == nil {
		t.Error("bad keys are accepted")
	}
}

func TestStatesWithoutRedis(t *testing.T) {
	redis := redistest.Start(t)
	redis.Kill()
	n := launch(t, configure(redis.URL()))
	eventually(t, "attempts", func() bool { return n.logs.FilterMessage("redis is not reachable, will retry").Len() > 0 })
	if n.ready() != 503 {
		t.Error("ready without redis")
	}
	if code, _ := n.admin("/healthz"); code != 200 {
		t.Error("not healthy")
	}
	n.state()
	redis.Restart()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if n.url = n.srv.PublicURL(ctx); n.url == "" {
		t.Fatal("not started after redis came")
	}
	k := n.connect(true, ticket.Claims{ClientID: "ann"})
	publisher{t, open(t, redis.URL())}.inbox("hello", "ann")
	k.expect("hello")
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}

func TestStoppedBeforeRedisCame(t *testing.T) {
	redis := redistest.Start(t)
	redis.Kill()
	n := launch(t, configure(redis.URL()))
	eventually(t, "an attempt", func() bool { return n.logs.FilterMessage("redis is not reachable, will retry").Len() > 0 })
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}
