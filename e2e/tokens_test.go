package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/rig"
)

// forge makes a token of the kind that webapi signs; change edits its header and claims before it is signed.
func forge(t *testing.T, id string, key []byte, change func(head, claims map[string]any)) string {
	t.Helper()
	now := float64(time.Now().UnixMilli()) / 1000
	head := map[string]any{"alg": "HS256", "typ": "JWT", "kid": "rig"}
	claims := map[string]any{"sub": id, "aud": []string{"imtier-connect"}, "jti": "forged-" + id, "iat": now, "exp": now + 30}
	if change != nil {
		change(head, claims)
	}
	signed := part(t, head) + "." + part(t, claims)
	if head["alg"] == "none" {
		return signed + "."
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func part(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func TestFaultsForgedTokens(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 2})
	w := r.Watch()
	_, text, _ := strings.Cut(rig.SigningKeys, ":")
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	genuine := func(req api.ConnectRequest) string {
		var url string
		rig.Sure(t, func() (err error) {
			url, err = r.API.Connect(t.Context(), req)
			return err
		})
		_, query, _ := strings.Cut(url, "?")
		return query
	}
	once := func(node int, query string) int {
		conn, err := client.Dial(t.Context(), "ws://"+r.Nodes[node].Addr+"/ws?"+query, client.V1)
		var refused *client.Refused
		switch {
		case err == nil:
			keep(t, conn)
			return http.StatusSwitchingProtocols
		case errors.As(err, &refused):
			return refused.Status
		}
		t.Errorf("neither let in nor refused: %v", err)
		return 0
	}
	// A node that lost sight of Redis for a moment, as on a busy machine, lets nobody in, whoever it is.
	status := func(node int, query string) (got int) {
		rig.Eventually(t, patience, "an answer to "+query[:min(len(query), 50)], func() bool {
			got = once(node, query)
			return got != http.StatusServiceUnavailable
		})
		return got
	}

	// The forger knows how: with the right key it is let in.
	if got := status(0, "token="+forge(t, "honest", key, nil)); got != http.StatusSwitchingProtocols {
		t.Fatalf("a token that is right is refused with %d: this test shows nothing", got)
	}
	used := genuine(api.ConnectRequest{ClientID: "replayed"})
	if got := status(0, used); got != http.StatusSwitchingProtocols {
		t.Fatalf("a URL is refused with %d", got)
	}
	expired := genuine(api.ConnectRequest{ClientID: "victim", TTL: 1})
	issued := time.Now()
	tampered := genuine(api.ConnectRequest{ClientID: "somebody"})
	head, rest, _ := strings.Cut(strings.TrimPrefix(tampered, "token="), ".")
	_, signature, _ := strings.Cut(rest, ".")
	now := float64(time.Now().UnixMilli()) / 1000
	claims := map[string]any{"sub": "victim", "aud": []string{"imtier-connect"}, "jti": "j", "iat": now, "exp": now + 30}
	set := func(where, name string, value any) func(head, claims map[string]any) {
		return func(head, claims map[string]any) {
			if where == "head" {
				head[name] = value
			} else {
				claims[name] = value
			}
		}
	}
	<-time.After(1100*time.Millisecond - time.Since(issued))
	for _, tt := range []struct {
		name, query string
		want        []int
	}{
		{"replayed", used, []int{409}},
		{"expired", expired, []int{401}},
		{"no token", "", []int{401}},
		{"not a token", "token=x.y.z", []int{401}},
		{"claims of another", "token=" + head + "." + part(t, claims) + "." + signature, []int{401}},
		{"no signature", "token=" + head + "." + part(t, claims) + ".", []int{401}},
		{"alg none", "token=" + forge(t, "victim", key, set("head", "alg", "none")), []int{401}},
		{"alg None, signed", "token=" + forge(t, "victim", key, set("head", "alg", "None")), []int{401}},
		{"another alg", "token=" + forge(t, "victim", key, set("head", "alg", "HS512")), []int{401}},
		{"another key", "token=" + forge(t, "victim", []byte("another key of thirty-two bytes!"), nil), []int{401}},
		{"empty key", "token=" + forge(t, "victim", nil, nil), []int{401}},
		{"wrong kid", "token=" + forge(t, "victim", key, set("head", "kid", "other")), []int{401}},
		{"no kid", "token=" + forge(t, "victim", key, func(head, _ map[string]any) { delete(head, "kid") }), []int{401}},
		{"no exp", "token=" + forge(t, "victim", key, func(_, claims map[string]any) { delete(claims, "exp") }), []int{401}},
		{"lives too long", "token=" + forge(t, "victim", key, set("claims", "exp", now+3600)), []int{401}},
		{"for something else", "token=" + forge(t, "victim", key, set("claims", "aud", []string{"other"})), []int{401}},
		{"no jti", "token=" + forge(t, "victim", key, set("claims", "jti", "")), []int{401}},
		{"a URL's token as a session", "session=" + forge(t, "victim", key, nil), []int{401}},
		{"oversized", "token=" + forge(t, "victim", key, set("claims", "meta", strings.Repeat("x", 9<<10))), []int{401, 431}},
		{"enormous", "token=" + strings.Repeat("x", 1<<20), []int{401, 431}},
	} {
		for node := range r.Nodes {
			if got := status(node, tt.query); !slices.Contains(tt.want, got) {
				t.Errorf("%s: node %d answers %d, want one of %v", tt.name, node+1, got, tt.want)
			}
		}
	}
	w.Check(map[string]bool{"honest": true, "replayed": true}, patience)
}
