package ticket

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/imtier/imtier/pkg/protocol"
)

func TestSessionRoundTrip(t *testing.T) {
	k := keys(t, key("a", strings.Repeat("1", 32)))
	for _, c := range []struct{ origin, want string }{
		{"", "c"}, {"c", "c"}, {"first", "first"},
	} {
		token, err := k.SignSession(Session{ClientID: "alice", Device: "web", ConnID: "c", Origin: c.origin})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.VerifySession(token); err != nil || got.Origin != c.want {
			t.Errorf("origin %q became %q, want %q: %v", c.origin, got.Origin, c.want, err)
		}
	}
	want := Session{ClientID: "alice", Device: "web", ConnID: "00ff0123456789abcdef", Meta: json.RawMessage(`{"n":1}`), MayRequest: true, Policy: "one", JTI: "j1"}
	token, err := k.SignSession(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.VerifySession(token)
	if err != nil {
		t.Fatal(err)
	}
	if got.ClientID != want.ClientID || got.Device != want.Device || got.ConnID != want.ConnID ||
		string(got.Meta) != string(want.Meta) || !got.MayRequest || got.Policy != want.Policy || got.JTI != want.JTI {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The two kinds of token open different doors: one must never pass for the other.
func TestKindsOfTokenAreKeptApart(t *testing.T) {
	k := keys(t, key("a", strings.Repeat("1", 32)))
	session, err := k.SignSession(Session{ClientID: "alice", Device: "web", ConnID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify(session); !errors.Is(err, ErrInvalid) {
		t.Errorf("Verify took a session token: %v", err)
	}
	connect, err := k.Sign(Claims{ClientID: "alice", ExpiresAt: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.VerifySession(connect); !errors.Is(err, ErrInvalid) {
		t.Errorf("VerifySession took a connect token: %v", err)
	}
}

// Only what is signed counts: whom a session belongs to, what it goes back to, which policy it has.
func TestForgedSessions(t *testing.T) {
	k := keys(t, key("a", keyA))
	now := time.Now().Unix()
	kid := map[string]any{"kid": "a"}
	claims := jwt.MapClaims{"sub": "alice", "aud": "imtier-session", "jti": "c", "iat": now, "exp": now + 30, "url": "j", "pol": "any"}
	good := forge(t, jwt.SigningMethodHS256, []byte(keyA), kid, claims)
	if s, err := k.VerifySession(good); err != nil || s.JTI != "j" || s.Policy != "any" {
		t.Fatalf("the good one: %+v %v", s, err)
	}
	parts := strings.Split(good, ".")
	payload := func(from, to string) string {
		b, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil || !strings.Contains(string(b), from) {
			t.Fatalf("%v %s", err, b)
		}
		return parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(b), from, to, 1))) + "." + parts[2]
	}
	for name, token := range map[string]string{
		"another URL":    payload(`"url":"j"`, `"url":"k"`),
		"no URL":         payload(`"url":"j"`, `"x":"j"`),
		"another policy": payload(`"pol":"any"`, `"pol":"one"`),
		"alg none":       forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid, claims),
		"another key":    forge(t, jwt.SigningMethodHS256, []byte(keyB), kid, claims),
		"unknown kid":    forge(t, jwt.SigningMethodHS256, []byte(keyA), map[string]any{"kid": "z"}, claims),
		"oversized":      good + strings.Repeat("x", protocol.MaxToken),
	} {
		if _, err := k.VerifySession(token); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Written before sessions knew their URL.
	delete(claims, "url")
	if s, err := k.VerifySession(forge(t, jwt.SigningMethodHS256, []byte(keyA), kid, claims)); err != nil || s.JTI != "" {
		t.Errorf("an older session: %+v %v", s, err)
	}
}
