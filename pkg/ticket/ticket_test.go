package ticket

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/imtier/imtier/pkg/protocol"
)

var (
	keyA = strings.Repeat("a", 32)
	keyB = strings.Repeat("b", 32)
	keyC = strings.Repeat("c", 32)
)

func key(kid, secret string) string {
	return kid + ":" + base64.StdEncoding.EncodeToString([]byte(secret))
}

func keys(t testing.TB, s ...string) Keys {
	t.Helper()
	k, err := ParseKeys(strings.Join(s, ","))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRoundTrip(t *testing.T) {
	k := keys(t, key("a", keyA))
	now := time.Now().Truncate(time.Millisecond)
	want := Claims{
		ClientID: "alice/ü", Device: "phone", JTI: "j1", Meta: json.RawMessage(`{"nick":"A"}`),
		Groups: []string{"room", "ops"}, UntilOffline: true, MayRequest: true, Policy: "max:2",
		IssuedAt: now, ExpiresAt: now.Add(30*time.Second + 500*time.Millisecond),
	}
	token, err := k.Sign(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	if !got.IssuedAt.Equal(want.IssuedAt) || !got.ExpiresAt.Equal(want.ExpiresAt) {
		t.Errorf("times %v–%v, want %v–%v", got.IssuedAt, got.ExpiresAt, want.IssuedAt, want.ExpiresAt)
	}
	got.IssuedAt, got.ExpiresAt = want.IssuedAt, want.ExpiresAt
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Whatever fits when it is signed fits when it is verified.
func TestMetaIsNotLongerInTheToken(t *testing.T) {
	k := keys(t, key("a", keyA))
	for _, text := range []string{"<", ">", "&", "\u2028", "ü", `\"`, `\u003c`} {
		meta := json.RawMessage(`"` + strings.Repeat(text, (protocol.MaxMetaLen-2)/len(text)) + `"`)
		token, err := k.Sign(Claims{ClientID: "alice", Meta: meta, ExpiresAt: time.Now().Add(30 * time.Second)})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got, err := k.Verify(token); err != nil || string(got.Meta) != string(meta) {
			t.Errorf("%q: %d bytes of %d, %v", text, len(got.Meta), len(meta), err)
		}
	}
}

func TestSignFillsIn(t *testing.T) {
	k := keys(t, key("a", keyA))
	seen := map[string]bool{}
	for range 2 {
		token, err := k.Sign(Claims{ClientID: "a", ExpiresAt: time.Now().Add(30 * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		c, err := k.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		if c.Device != protocol.DefaultDevice || len(c.JTI) < 22 || seen[c.JTI] || c.IssuedAt.IsZero() {
			t.Errorf("filled in badly: %+v", c)
		}
		seen[c.JTI] = true
	}
}

func TestRotation(t *testing.T) {
	older := keys(t, key("1", keyA))
	both := keys(t, key("2", keyB), key("1", keyA))
	newer := keys(t, key("2", keyB))
	sign := func(k Keys) string {
		token, err := k.Sign(Claims{ClientID: "a", ExpiresAt: time.Now().Add(time.Minute / 2)})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for _, c := range []struct {
		name   string
		signed Keys
		verify Keys
		ok     bool
	}{
		{"an old token during the rotation", older, both, true},
		{"the first key signs", both, newer, true},
		{"the second does not", both, older, false},
		{"an old token after the rotation", older, newer, false},
	} {
		if _, err := c.verify.Verify(sign(c.signed)); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// What Sign writes is a JWT to everybody, and what another program writes one to us, however it writes the header.
func TestTokensOfOthers(t *testing.T) {
	k := keys(t, key("a", keyA))
	ours, err := k.Sign(Claims{ClientID: "alice", ExpiresAt: time.Now().Add(30 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	read, err := jwt.Parse(ours, func(*jwt.Token) (any, error) { return []byte(keyA), nil }, jwt.WithAudience(audience), jwt.WithStrictDecoding())
	if err != nil || read.Header["kid"] != "a" || read.Header["typ"] != "JWT" {
		t.Errorf("ours: %v, %+v", err, read)
	}
	now := time.Now().Unix()
	for _, aud := range []any{audience, []string{audience}, []string{"x", audience}} {
		for _, header := range []map[string]any{{"kid": "a"}, {"kid": "a", "typ": nil}, {"kid": "a", "cty": "x"}} {
			token := forge(t, jwt.SigningMethodHS256, []byte(keyA), header,
				jwt.MapClaims{"sub": "alice", "aud": aud, "jti": "j", "iat": now, "exp": now + 30})
			if c, err := k.Verify(token); err != nil || c.ClientID != "alice" || c.JTI != "j" {
				t.Errorf("for %v with header %v: %+v, %v", aud, header, c, err)
			}
		}
	}
}

// forge signs any claims with any method, as an attacker or a broken issuer would.
func forge(t *testing.T, method jwt.SigningMethod, secret any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	tok := jwt.NewWithClaims(method, claims)
	maps.Copy(tok.Header, header)
	for name, v := range header {
		if v == nil {
			delete(tok.Header, name)
		}
	}
	s, err := tok.SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRefusals(t *testing.T) {
	t.Run("header as ours", func(t *testing.T) { testRefusals(t, map[string]any{"kid": "a"}) })
	t.Run("header of another program", func(t *testing.T) { testRefusals(t, map[string]any{"kid": "a", "cty": "x"}) })
}

func testRefusals(t *testing.T, kid map[string]any) {
	k := keys(t, key("a", keyA), key("b", keyB))
	now := time.Now().Unix()
	with := func(change jwt.MapClaims) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "alice", "aud": "imtier-connect", "jti": "j", "iat": now, "exp": now + 30}
		for name, v := range change {
			if v == nil {
				delete(c, name)
			} else {
				c[name] = v
			}
		}
		return c
	}
	hs256 := func(change jwt.MapClaims) string {
		return forge(t, jwt.SigningMethodHS256, []byte(keyA), kid, with(change))
	}
	good := hs256(nil)
	if _, err := k.Verify(good); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	parts := strings.Split(good, ".")
	groups := make([]string, protocol.MaxGroupsJoin+1)
	for i := range groups {
		groups[i] = "g"
	}

	for _, c := range []struct {
		name  string
		token string
		want  error
	}{
		{"alg none", forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid, with(nil)), ErrInvalid},
		{"HS512", forge(t, jwt.SigningMethodHS512, []byte(keyA), kid, with(nil)), ErrInvalid},
		{"another key", forge(t, jwt.SigningMethodHS256, []byte(keyC), kid, with(nil)), ErrInvalid},
		{"the key of another kid", forge(t, jwt.SigningMethodHS256, []byte(keyB), kid, with(nil)), ErrInvalid},
		{"the key of another kid, expired", forge(t, jwt.SigningMethodHS256, []byte(keyB), kid, with(jwt.MapClaims{"iat": now - 31, "exp": now - 1})), ErrInvalid},
		{"aud is a number", hs256(jwt.MapClaims{"aud": 1}), ErrInvalid},
		{"aud is several others", hs256(jwt.MapClaims{"aud": []string{"x", "y"}}), ErrInvalid},
		{"unknown kid", forge(t, jwt.SigningMethodHS256, []byte(keyA), map[string]any{"kid": "z"}, with(nil)), ErrInvalid},
		{"missing kid", forge(t, jwt.SigningMethodHS256, []byte(keyA), nil, with(nil)), ErrInvalid},
		{"kid is not a string", forge(t, jwt.SigningMethodHS256, []byte(keyA), map[string]any{"kid": 1}, with(nil)), ErrInvalid},
		{"no exp", hs256(jwt.MapClaims{"exp": nil}), ErrInvalid},
		{"no iat", hs256(jwt.MapClaims{"iat": nil}), ErrInvalid},
		{"no jti", hs256(jwt.MapClaims{"jti": nil}), ErrInvalid},
		{"long jti", hs256(jwt.MapClaims{"jti": strings.Repeat("j", 65)}), ErrInvalid},
		{"no sub", hs256(jwt.MapClaims{"sub": nil}), ErrInvalid},
		{"bad sub", hs256(jwt.MapClaims{"sub": "a\nb"}), ErrInvalid},
		{"no aud", hs256(jwt.MapClaims{"aud": nil}), ErrInvalid},
		{"wrong aud", hs256(jwt.MapClaims{"aud": "imtier-session"}), ErrInvalid},
		{"lives 61 s", hs256(jwt.MapClaims{"exp": now + 61}), ErrInvalid},
		{"exp is not after iat", hs256(jwt.MapClaims{"iat": now + 2, "exp": now + 2}), ErrInvalid},
		{"issued in the future", hs256(jwt.MapClaims{"iat": now + 30, "exp": now + 60}), ErrInvalid},
		{"exp is text", hs256(jwt.MapClaims{"exp": "soon"}), ErrInvalid},
		{"exp is negative", hs256(jwt.MapClaims{"exp": -1}), ErrInvalid},
		{"exp is huge", hs256(jwt.MapClaims{"exp": 1e300}), ErrInvalid},
		{"expired", hs256(jwt.MapClaims{"iat": now - 31, "exp": now - 1}), ErrExpired},
		{"expired, other key", forge(t, jwt.SigningMethodHS256, []byte(keyC), kid, with(jwt.MapClaims{"iat": now - 31, "exp": now - 1})), ErrInvalid},
		{"expired, wrong aud", hs256(jwt.MapClaims{"iat": now - 31, "exp": now - 1, "aud": "x"}), ErrInvalid},
		{"bad device", hs256(jwt.MapClaims{"dev": "\x00"}), ErrInvalid},
		{"long device", hs256(jwt.MapClaims{"dev": strings.Repeat("d", 65)}), ErrInvalid},
		{"bad group", hs256(jwt.MapClaims{"grp": []string{""}}), ErrInvalid},
		{"long policy", hs256(jwt.MapClaims{"pol": strings.Repeat("p", 33)}), ErrInvalid},
		{"policy is a number", hs256(jwt.MapClaims{"pol": 1}), ErrInvalid},
		{"long name of a URL", hs256(jwt.MapClaims{"url": strings.Repeat("j", 65)}), ErrInvalid},
		{"too many groups", hs256(jwt.MapClaims{"grp": groups}), ErrInvalid},
		{"much meta", hs256(jwt.MapClaims{"meta": strings.Repeat("m", protocol.MaxMetaLen)}), ErrInvalid},
		{"oversized", hs256(jwt.MapClaims{"x": strings.Repeat("x", protocol.MaxToken)}), ErrInvalid},
		{"changed payload", parts[0] + "." + parts[1][:len(parts[1])-2] + "AA." + parts[2], ErrInvalid},
		{"cut", good[:len(good)-1], ErrInvalid},
		{"longer", good + "AA", ErrInvalid},
		{"padded", good + "=", ErrInvalid},
		{"payload is no base64", parts[0] + ".%." + parts[2], ErrInvalid},
		{"four parts", good + "." + parts[2], ErrInvalid},
		{"header only", parts[0] + ".", ErrInvalid},
		{"empty parts", parts[0] + "..", ErrInvalid},
		{"two parts", parts[0] + "." + parts[1], ErrInvalid},
		{"empty", "", ErrInvalid},
		{"garbage", "garbage", ErrInvalid},
		{"dots", "..", ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := k.Verify(c.token)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if len(c.token) > 20 && strings.Contains(err.Error(), c.token[:20]) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	k := keys(t, key("a", keyA))
	in := func(d time.Duration) time.Time { return time.Now().Add(d) }
	long := make([]string, protocol.MaxGroupsJoin)
	for i := range long {
		long[i] = strings.Repeat("g", protocol.MaxNameLen)
	}
	for _, c := range []struct {
		name string
		in   Claims
		want error
	}{
		{"no client", Claims{ExpiresAt: in(30 * time.Second)}, protocol.ErrBadName},
		{"no end", Claims{ClientID: "a"}, nil},
		{"too long", Claims{ClientID: "a", ExpiresAt: in(2 * time.Minute)}, nil},
		{"long policy", Claims{ClientID: "a", Policy: strings.Repeat("p", 33), ExpiresAt: in(30 * time.Second)}, nil},
		{"does not fit", Claims{ClientID: "a", Groups: long, ExpiresAt: in(30 * time.Second)}, ErrTooBig},
	} {
		_, err := k.Sign(c.in)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := (Keys{}).Sign(Claims{ClientID: "a", ExpiresAt: in(30 * time.Second)}); !errors.Is(err, ErrNoKey) {
		t.Errorf("without keys: %v", err)
	}
	if _, err := (Keys{}).Verify("a.b.c"); !errors.Is(err, ErrInvalid) {
		t.Errorf("without keys: %v", err)
	}
}

func TestParseKeys(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"standard", key("a", keyA), ""},
		{"url-safe, no padding", "a:" + base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff\xfe", 16))), ""},
		{"spaces", " " + key("a", keyA) + " , " + key("b.2_-", keyB), ""},
		{"empty", "", "no signing key"},
		{"blank", "  ", "no signing key"},
		{"trailing comma", key("a", keyA) + ",", "signing key 2"},
		{"no kid", ":" + base64.StdEncoding.EncodeToString([]byte(keyA)), "kid has 0"},
		{"bad kid", key("a b", keyA), "kid has the character"},
		{"long kid", key(strings.Repeat("k", 33), keyA), "kid has 33"},
		{"short key", key("a", keyA[:31]), "31 bytes"},
		{"empty key", "a:", "0 bytes"},
		{"long key", key("a", strings.Repeat("a", 1025)), "1025 bytes"},
		{"not base64", "a:???????????????????????????????????????????", "not base64"},
		{"twice", key("a", keyA) + "," + key("a", keyB), "given twice"},
	} {
		_, err := ParseKeys(c.in)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		case err != nil && strings.Contains(err.Error(), "YWFh"):
			t.Errorf("%s: the error shows the key: %v", c.name, err)
		}
	}
}

// FuzzVerify looks for panics, and for accepted tokens that break what Verify promises.
func FuzzVerify(f *testing.F) {
	k := keys(f, key("a", keyA))
	good, err := k.Sign(Claims{ClientID: "a", Groups: []string{"g"}, ExpiresAt: time.Now().Add(time.Minute / 2)})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{good, "", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", strings.Replace(good, ".", "..", 1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := k.Verify(token)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrExpired) {
				t.Fatalf("neither invalid nor expired: %v", err)
			}
			return
		}
		if c.ClientID == "" || c.JTI == "" || c.Device == "" || c.ExpiresAt.Sub(c.IssuedAt) > MaxLifetime {
			t.Fatalf("accepted %+v", c)
		}
	})
}
