package imserver

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/imtier/imtier/imserver/internal/server"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

func (n *running) wantLimited(limit string) {
	n.t.Helper()
	if _, m := n.admin("/metrics"); !strings.Contains(m, `imtier_limited_total{limit="`+limit+`"} 1`) {
		n.t.Errorf("%s is not counted once", limit)
	}
}

// oneTooMany repeats what is refused when all of it happens within a second, with another number, until it does.
func oneTooMany(do func(i int) answer) (last answer) {
	for i := range 20 {
		began := time.Now()
		last = do(i)
		if last.code != http.StatusSwitchingProtocols || time.Since(began) < time.Second {
			break
		}
	}
	return last
}

func forwarded(from string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("X-Forwarded-For", from) }
}

// Behind a trusted proxy each client has its own limit and is listed with its own address.
func TestConnectsPerAddress(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL(), func(c *Config) {
		c.AddrRate, c.TrustedProxies = 1, server.Proxies{netip.MustParsePrefix("127.0.0.0/8")}
	})
	var url string
	a := oneTooMany(func(i int) answer {
		from := fmt.Sprint("203.0.113.", i)
		for range 2 { // the burst
			if a := handshake(t, n.url+"?token=x", forwarded(from)); a.code != http.StatusUnauthorized {
				t.Errorf("a handshake within the limit: %d", a.code)
			}
		}
		url = n.url + sign(t, ticket.Claims{ClientID: "ann"})
		return handshake(t, url, forwarded("10.0.0.1, "+from))
	})
	if a.code != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" || a.problem.Code != "too_many_attempts" {
		t.Errorf("one too many: %d %+v", a.code, a.problem)
	}
	n.wantLimited("connects_per_ip")
	if a := handshake(t, url, forwarded("198.51.100.2")); a.code != http.StatusSwitchingProtocols {
		t.Errorf("another address: %d", a.code)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, resp, err := websocket.Dial(ctx, n.url+sign(t, ticket.Claims{ClientID: "bob"}), &websocket.DialOptions{
		HTTPClient: web, HTTPHeader: http.Header{"X-Forwarded-For": {"1.1.1.1, 198.51.100.3"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	defer ws.CloseNow()
	c, err := open(t, redis.URL()).Client(ctx, "bob")
	if err != nil || len(c.Connections) != 1 || c.Connections[0].IP != "198.51.100.3" {
		t.Errorf("listed: %+v %v", c, err)
	}
}

// What strangers say of where they come from has no effect.
func TestSpoofedAddresses(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL(), func(c *Config) { c.AddrRate = 1 })
	for i := range 50 { // the third, unless a second has passed meanwhile
		a := handshake(t, n.url+"?token=x", forwarded(fmt.Sprint("203.0.113.", i)))
		if i >= 2 && a.code == http.StatusTooManyRequests {
			return
		}
		if a.code != http.StatusUnauthorized {
			t.Fatalf("a handshake within the limit: %d", a.code)
		}
	}
	t.Error("nothing is one too many")
}

// A client is limited on all nodes together, and nothing is used up by it.
func TestConnectsPerClient(t *testing.T) {
	redis := redistest.Start(t)
	limit := func(c *Config) { c.ClientRate = 2 }
	one, two := start(t, redis.URL(), limit), start(t, redis.URL(), limit)
	var url string
	a := oneTooMany(func(i int) answer {
		ann := ticket.Claims{ClientID: fmt.Sprint("ann", i)}
		dialOnly(t, one.url+sign(t, ann))
		dialOnly(t, two.url+sign(t, ann))
		url = two.url + sign(t, ann)
		return handshake(t, url, nil)
	})
	if a.code != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" || a.problem.Code != "too_many_attempts" {
		t.Errorf("one too many: %d %+v", a.code, a.problem)
	}
	two.wantLimited("connects_per_client")
	one.connect(true, ticket.Claims{ClientID: "bob"})
	eventually(t, "the same URL is let in later", func() bool {
		return handshake(t, url, nil).code == http.StatusSwitchingProtocols
	})
}

func TestInputLimits(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL(), func(c *Config) { c.InboundFrames, c.InboundBytes = 2, 0 })
	chatty := n.connect(true, ticket.Claims{ClientID: "ann"})
	for range 100 {
		if chatty.ws.Write(context.Background(), websocket.MessageText, []byte(`{"type":"x"}`)) != nil {
			break
		}
	}
	chatty.expectClose(4504)
	n.wantLimited("inbound_frames")
	n = start(t, redis.URL(), func(c *Config) { c.InboundFrames, c.InboundBytes = 0, 1000 })
	greedy := n.connect(false, ticket.Claims{ClientID: "bob"})
	for range 100 {
		if greedy.ws.Write(context.Background(), websocket.MessageText, make([]byte, 10_000)) != nil {
			break
		}
	}
	greedy.expectClose(4504)
	n.wantLimited("inbound_bytes")
}
