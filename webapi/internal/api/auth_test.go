package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/imtier/imtier/pkg/ticket"
)

// oneUser accepts one token.
type oneUser struct{}

func (oneUser) Verify(_ context.Context, token string) (string, error) {
	if token == "user.token.ok" {
		return "uma", nil
	}
	return "", errors.New("no")
}

func TestEveryRouteAsksForAKey(t *testing.T) {
	a := offline(t)
	f := start(t, func(o *Options) { o.AllowGuests, o.Users = true, oneUser{} })
	for _, r := range a.routes {
		if r.id == "connect" {
			continue
		}
		path := strings.NewReplacer("{group}", "g", "{clientId}", "c", "{connId}", "x", "{id}", "n").Replace(r.path)
		for name, headers := range map[string][]string{
			"none":       {"Accept", "*/*"},
			"wrong":      {"Authorization", "Bearer wrong"},
			"empty":      {"Authorization", "Bearer "},
			"basic":      {"Authorization", "Basic " + apiKey},
			"bare":       {"Authorization", apiKey},
			"wrong X":    {"X-API-Key", "wrong"},
			"user token": {"Authorization", "Bearer user.token.ok"},
			"mixed":      {"Authorization", "Bearer wrong", "X-API-Key", apiKey},
		} {
			got := f.call(r.method, path, "", headers...)
			if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %s: %d %s", r.id, name, got.status, got.body)
			}
			got.problem(http.StatusUnauthorized, codeUnauthorized, "")
		}
	}
	for name, headers := range map[string][]string{
		"bearer":     {"Authorization", "Bearer " + apiKey},
		"lower case": {"Authorization", "bearer " + apiKey},
		"header":     {"X-API-Key", apiKey},
		"second key": {"X-API-Key", "other-key"},
	} {
		if got := f.call("GET", "/v1/nodes", "", headers...); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

func TestWhoMayConnectAsWhom(t *testing.T) {
	closed := start(t)
	closed.node("n")
	users := start(t, func(o *Options) { o.Users = oneUser{} })
	users.node("n")
	guests := start(t, func(o *Options) { o.AllowGuests = true })
	guests.node("n")
	none, key := []string{"Accept", "*/*"}, []string{"X-API-Key", apiKey}
	user, wrong := []string{"Authorization", "Bearer user.token.ok"}, []string{"Authorization", "Bearer user.token.no"}
	const me, other, full = `{"clientId":"uma","device":"tv"}`, `{"clientId":"eve"}`, `{"clientId":"eve","groups":["g"],"meta":1,"mayRequest":true,"untilOffline":true}`
	for _, c := range []struct {
		name    string
		f       *fixture
		headers []string
		body    string
		status  int
		want    string // clientId, or the field that is refused
	}{
		{"a key", closed, key, full, 200, "eve"},
		{"nobody where closed", closed, none, `{}`, 401, ""},
		{"a user where there are none", closed, user, `{}`, 401, ""},
		{"a user", users, user, ``, 200, "uma"},
		{"a user by name", users, user, me, 200, "uma"},
		{"a user with metadata", users, user, `{"meta":{"a":1}}`, 200, "uma"},
		{"a user as another", users, user, other, 403, "clientId"},
		{"a user with groups", users, user, `{"groups":["g"]}`, 403, "groups"},
		{"a user with no groups", users, user, `{"groups":[]}`, 403, "groups"},
		{"a user who may request", users, user, `{"mayRequest":true}`, 403, "mayRequest"},
		{"a user until offline", users, user, `{"untilOffline":true}`, 403, "untilOffline"},
		{"a user with a policy", users, user, `{"policy":"any"}`, 403, "policy"},
		{"a bad user token", users, wrong, `{}`, 401, ""},
		{"nobody where users are", users, none, `{}`, 401, ""},
		{"a key where users are", users, key, other, 200, "eve"},
		{"a guest", guests, none, ``, 200, "guest-"},
		{"a guest with a device", guests, none, `{"device":"tv","ttl":45}`, 200, "guest-"},
		{"a guest with a name", guests, none, other, 403, "clientId"},
		{"a guest with groups", guests, none, `{"groups":["g"]}`, 403, "groups"},
		{"a guest with metadata", guests, none, `{"meta":1}`, 403, "meta"},
		{"a wrong key is no guest", guests, wrong, ``, 401, ""},
		{"an empty key is no guest", guests, []string{"Authorization", "Bearer "}, ``, 401, ""},
		{"a key where guests are", guests, key, other, 200, "eve"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := *c.f
			f.t = t
			got := f.call("POST", "/v1/connect", c.body, c.headers...)
			switch c.status {
			case 401:
				got.problem(401, codeUnauthorized, "")
			case 403:
				got.problem(403, codeForbidden, c.want)
			default:
				var out connectOut
				got.into(c.status, &out)
				if !strings.HasPrefix(out.ClientID, c.want) {
					t.Errorf("clientId %q, want %q", out.ClientID, c.want)
				}
				keys, _ := ticket.ParseKeys(signingKeys)
				claims, err := keys.Verify(strings.TrimPrefix(out.URL, nodeURL+"?token="))
				if err != nil || claims.ClientID != out.ClientID {
					t.Errorf("the token is for %+v, %v", claims, err)
				}
			}
		})
	}
	var a, b connectOut
	guests.call("POST", "/v1/connect", "", none...).into(200, &a)
	guests.call("POST", "/v1/connect", "", none...).into(200, &b)
	if a.ClientID == b.ClientID {
		t.Error("two guests have the same clientId")
	}
}

func TestCrossOrigin(t *testing.T) {
	f := start(t, func(o *Options) { o.AllowedOrigins = []string{"https://app.example.com"} })
	preflight := func(origin string) answer {
		return f.call("OPTIONS", "/v1/messages", "", "Origin", origin,
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type,x-api-key")
	}
	ok := preflight("https://app.example.com")
	if ok.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" || ok.status >= 300 ||
		!strings.Contains(ok.header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("preflight: %d %v", ok.status, ok.header)
	}
	for _, origin := range []string{"https://evil.example.com", "https://app.example.com.evil.com", "http://app.example.com", "null"} {
		if got := preflight(origin).header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s is allowed: %q", origin, got)
		}
	}
	refused := f.call("GET", "/v1/nodes", "", "Origin", "https://app.example.com")
	if refused.header.Get("Access-Control-Allow-Origin") == "" || refused.status != http.StatusUnauthorized {
		t.Errorf("a page cannot read a refusal: %d %v", refused.status, refused.header)
	}
	same := start(t)
	if got := same.call("GET", "/v1/nodes", "", "X-API-Key", apiKey, "Origin", "https://app.example.com"); got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without origins: %v", got.header)
	}
}
