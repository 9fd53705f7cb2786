package usertoken

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = strings.Repeat("s", 32)

type keySet struct {
	rsa  *rsa.PrivateKey
	ec   *ecdsa.PrivateKey
	p384 *ecdsa.PrivateKey
}

var testKeys = sync.OnceValue(func() (k keySet) {
	var err [3]error
	k.rsa, err[0] = rsa.GenerateKey(rand.Reader, 2048)
	k.ec, err[1] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, err[2] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if e := errors.Join(err[:]...); e != nil {
		panic(e)
	}
	return k
})

func publicPEM(t *testing.T, pub any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func sign(t *testing.T, m jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	t.Helper()
	tok := jwt.NewWithClaims(m, claims)
	if kid != "" {
		tok.Header["kid"] = kid
	}
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func claims(change jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "uma", "exp": time.Now().Add(time.Minute).Unix()}
	for k, v := range change {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

func TestKeyForms(t *testing.T) {
	k := testKeys()
	rsaPEM, ecPEM := publicPEM(t, &k.rsa.PublicKey), publicPEM(t, &k.ec.PublicKey)
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, []byte(ecPEM), 0o600); err != nil {
		t.Fatal(err)
	}
	hs := sign(t, jwt.SigningMethodHS256, []byte(secret), "", claims(nil))
	rs := sign(t, jwt.SigningMethodRS256, k.rsa, "any", claims(nil))
	es := sign(t, jwt.SigningMethodES256, k.ec, "", claims(nil))
	for _, c := range []struct{ name, key, token string }{
		{"secret", secret, hs},
		{"base64 secret", "base64:" + base64.StdEncoding.EncodeToString([]byte(secret)), hs},
		{"named", "HS256:" + secret, hs},
		{"named base64", "hs256:base64:" + base64.RawURLEncoding.EncodeToString([]byte(secret)), hs},
		{"RSA", rsaPEM, rs},
		{"RSA in one line", strings.ReplaceAll(rsaPEM, "\n", `\n`), rs},
		{"named RSA", "RS256:" + rsaPEM, rs},
		{"EC", ecPEM, es},
		{"EC in a file", "file:" + path, es},
		{"named EC in a file", "ES256:file:" + path, es},
	} {
		key, err := ParseKey(c.key)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if id, err := New(key).Verify(t.Context(), c.token); err != nil || id != "uma" {
			t.Errorf("%s: %q, %v", c.name, id, err)
		}
	}
	for name, key := range map[string]string{
		"short": secret[1:], "empty": "", "not base64": "base64:?", "short base64": "base64:AAAA", "other curve": publicPEM(t, &k.p384.PublicKey),
		"wrong algorithm": "ES256:" + rsaPEM, "secret as RSA": "RS256:" + secret, "no file": "file:" + path + "x", "broken PEM": rsaPEM[:80],
	} {
		if _, err := ParseKey(key); err == nil {
			t.Errorf("%s is accepted", name)
		} else if strings.Contains(err.Error(), secret[1:]) {
			t.Errorf("%s: the error shows the key", name)
		}
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	k := testKeys()
	rsaPEM := publicPEM(t, &k.rsa.PublicKey)
	hsKey, err := ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	rsKey, err := ParseKey(rsaPEM)
	if err != nil {
		t.Fatal(err)
	}
	past, soon := time.Now().Add(-time.Minute).Unix(), time.Now().Add(time.Minute).Unix()
	hs := func(change jwt.MapClaims) string {
		return sign(t, jwt.SigningMethodHS256, []byte(secret), "", claims(change))
	}
	for _, c := range []struct {
		name  string
		key   Key
		token string
	}{
		{"none", hsKey, sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", claims(nil))},
		{"HS512", hsKey, sign(t, jwt.SigningMethodHS512, []byte(secret), "", claims(nil))},
		{"a public key as a secret", rsKey, sign(t, jwt.SigningMethodHS256, []byte(rsaPEM), "", claims(nil))},
		{"another key", hsKey, sign(t, jwt.SigningMethodHS256, []byte(secret+"x"), "", claims(nil))},
		{"expired", hsKey, hs(jwt.MapClaims{"exp": past})},
		{"without end", hsKey, hs(jwt.MapClaims{"exp": nil})},
		{"not yet", hsKey, hs(jwt.MapClaims{"nbf": soon})},
		{"from the future", hsKey, hs(jwt.MapClaims{"iat": soon})},
		{"nobody", hsKey, hs(jwt.MapClaims{"sub": nil})},
		{"bad name", hsKey, hs(jwt.MapClaims{"sub": "a\nb"})},
		{"large", hsKey, hs(jwt.MapClaims{"x": strings.Repeat("x", maxToken)})},
		{"garbage", hsKey, "a.b.c"},
		{"empty", hsKey, ""},
	} {
		id, err := New(c.key).Verify(t.Context(), c.token)
		if !errors.Is(err, ErrInvalid) || id != "" {
			t.Errorf("%s: %q, %v", c.name, id, err)
		}
		if err != nil && len(c.token) > 40 && strings.Contains(err.Error(), c.token[20:40]) {
			t.Errorf("%s: the error shows the token: %v", c.name, err)
		}
	}
}

func jwkOf(kid string, pub any) map[string]string {
	b64 := base64.RawURLEncoding.EncodeToString
	switch p := pub.(type) {
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "kid": kid, "n": b64(p.N.Bytes()), "e": b64(big.NewInt(int64(p.E)).Bytes())}
	case *ecdsa.PublicKey:
		raw, _ := p.Bytes()
		return map[string]string{"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": b64(raw[1:33]), "y": b64(raw[33:])}
	}
	return nil
}

func jwks(t *testing.T, keys ...map[string]string) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestJWKSFromURLFollowsRotation(t *testing.T) {
	k := testKeys()
	var content atomic.Pointer[[]byte]
	var reads atomic.Int32
	set := func(b []byte) { content.Store(&b) }
	set(jwks(t, jwkOf("r1", &k.rsa.PublicKey), map[string]string{"kty": "oct", "kid": "s", "k": "AAAA"}))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reads.Add(1)
		_, _ = w.Write(*content.Load())
	}))
	defer srv.Close()

	var failures atomic.Int32
	j := OpenJWKS(srv.URL, func(error) { failures.Add(1) })
	defer j.client.CloseIdleConnections()
	v := New(j)
	old := sign(t, jwt.SigningMethodRS256, k.rsa, "r1", claims(nil))
	if id, err := v.Verify(t.Context(), old); err != nil || id != "uma" {
		t.Fatalf("%q, %v", id, err)
	}
	if _, err := v.Verify(t.Context(), sign(t, jwt.SigningMethodRS256, k.rsa, "", claims(nil))); err != nil {
		t.Errorf("without a kid, one key: %v", err)
	}
	set(jwks(t, jwkOf("r1", &k.rsa.PublicKey), jwkOf("e2", &k.ec.PublicKey)))
	fresh := sign(t, jwt.SigningMethodES256, k.ec, "e2", claims(nil))
	for range 5 { // too soon after the first reading: nothing is read
		if _, err := v.Verify(t.Context(), fresh); !errors.Is(err, ErrInvalid) {
			t.Fatalf("a key that nobody has read: %v", err)
		}
	}
	if n := reads.Load(); n != 1 {
		t.Errorf("%d readings, want 1", n)
	}
	j.age()
	if _, err := v.Verify(t.Context(), fresh); err != nil {
		t.Errorf("after rotation: %v", err)
	}
	set([]byte("{"))
	j.age()
	if _, err := v.Verify(t.Context(), sign(t, jwt.SigningMethodES256, k.ec, "e3", claims(nil))); !errors.Is(err, ErrInvalid) {
		t.Errorf("unknown kid: %v", err)
	}
	if _, err := v.Verify(t.Context(), old); err != nil || failures.Load() != 1 {
		t.Errorf("a failed reading lost the keys: %v, %d failures", err, failures.Load())
	}
}

// age makes the last reading old enough for another.
func (j *JWKS) age() {
	j.mu.Lock()
	j.last = j.last.Add(-refreshGap)
	j.mu.Unlock()
}

func TestJWKSFromFileIsReadByRun(t *testing.T) {
	k := testKeys()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, jwks(t, jwkOf("e", &k.ec.PublicKey)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	j := OpenJWKS(path, func(err error) { t.Error(err) })
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(ctx) })
	if _, err := New(j).Verify(t.Context(), sign(t, jwt.SigningMethodES256, k.ec, "e", claims(nil))); err != nil {
		t.Error(err)
	}
	cancel()
	wg.Wait()
}

func TestBadJWKS(t *testing.T) {
	k := testKeys()
	small, weak := jwkOf("e", &k.ec.PublicKey), jwkOf("r", &k.rsa.PublicKey)
	small["x"] = "AAAA"
	weak["n"] = "AAAA"
	enc := jwkOf("x", &k.ec.PublicKey)
	enc["use"] = "enc"
	alg := jwkOf("y", &k.rsa.PublicKey)
	alg["alg"] = "RS512"
	point := jwkOf("z", &k.ec.PublicKey)
	point["x"] = point["y"]
	for name, b := range map[string][]byte{
		"empty": jwks(t), "no JSON": []byte("x"), "small": jwks(t, small), "weak": jwks(t, weak), "for encryption": jwks(t, enc),
		"other algorithm": jwks(t, alg), "not on the curve": jwks(t, point),
	} {
		if _, err := parseJWKS(b); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
