package ticket

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
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
	want := Session{ClientID: "alice", Device: "web", ConnID: "00ff0123456789abcdef", Meta: json.RawMessage(`{"n":1}`), MayRequest: true}
	token, err := k.SignSession(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.VerifySession(token)
	if err != nil {
		t.Fatal(err)
	}
	if got.ClientID != want.ClientID || got.Device != want.Device || got.ConnID != want.ConnID ||
		string(got.Meta) != string(want.Meta) || !got.MayRequest {
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
