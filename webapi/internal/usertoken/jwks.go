package usertoken

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	refreshEvery = 10 * time.Minute // how long a withdrawn key may still be accepted
	refreshGap   = 10 * time.Second // between two readings that unknown kids cause
	fetchTimeout = 5 * time.Second
	maxJWKS      = 1 << 20 // bytes
	maxRSAExp    = 1 << 31 // public exponents beyond are no real keys
)

// JWKS is a JWK Set (RFC 7517) that is read from a file or URL, at the start, every 10 minutes, and when a token
// names an unknown key. When reading fails the keys read before stay.
type JWKS struct {
	location string
	client   *http.Client
	onError  func(error)

	mu   sync.Mutex
	keys map[string]key
	last time.Time  // when it was last read, or reading last failed
	busy *sync.Cond // reading is under way; see refresh
	read bool
}

// OpenJWKS returns the set at location, an http(s) URL or a file's path. It reads nothing yet: call Run. onError is
// told when reading fails.
func OpenJWKS(location string, onError func(error)) *JWKS {
	j := &JWKS{location: location, onError: onError, client: &http.Client{Timeout: fetchTimeout}}
	j.busy = sync.NewCond(&j.mu)
	return j
}

// Run keeps the set fresh until ctx ends.
func (j *JWKS) Run(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	defer j.client.CloseIdleConnections()
	for {
		j.refresh(ctx, 0)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// find returns the key of a kid; without a kid, the only key there is.
func (j *JWKS) find(ctx context.Context, kid string) (key, error) {
	if k, ok := j.known(kid); ok {
		return k, nil
	}
	// Others may wait for this reading: it does not end with one caller.
	j.refresh(context.WithoutCancel(ctx), refreshGap)
	if k, ok := j.known(kid); ok {
		return k, nil
	}
	return key{}, errUnknownKey
}

func (j *JWKS) known(kid string) (key, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if kid == "" && len(j.keys) == 1 {
		for _, k := range j.keys {
			return k, true
		}
	}
	k, ok := j.keys[kid]
	return k, ok
}

// refresh reads the set unless that was done less than gap ago. Whoever comes while it is being read waits for that.
func (j *JWKS) refresh(ctx context.Context, gap time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.read {
		for j.read {
			j.busy.Wait()
		}
		return
	}
	if !j.last.IsZero() && time.Since(j.last) < gap {
		return
	}
	j.read = true
	j.mu.Unlock()
	keys, err := j.load(ctx)
	j.mu.Lock()
	j.read, j.last = false, time.Now()
	if err == nil {
		j.keys = keys
	}
	j.busy.Broadcast()
	if err != nil && ctx.Err() == nil {
		j.onError(fmt.Errorf("read JWK Set: %w", err))
	}
}

func (j *JWKS) load(ctx context.Context) (map[string]key, error) {
	b, err := j.bytes(ctx)
	if err != nil {
		return nil, err
	}
	return parseJWKS(b)
}

func (j *JWKS) bytes(ctx context.Context) ([]byte, error) {
	if !strings.HasPrefix(j.location, "http://") && !strings.HasPrefix(j.location, "https://") {
		return readFile(strings.TrimPrefix(j.location, "file:"), maxJWKS)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.location, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := j.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", req.URL.Host, resp.Status)
	}
	return io.ReadAll(http.MaxBytesReader(nil, resp.Body, maxJWKS))
}

// jwk is what is used of a key (RFC 7517 §4, RFC 7518 §6).
type jwk struct {
	Kty string `json:"kty"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	N   string `json:"n"`
	E   string `json:"e"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
}

// parseJWKS takes the keys that can be used and skips the others; without any it fails.
func parseJWKS(b []byte) (map[string]key, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, errors.New("it is not a JWK Set")
	}
	keys := make(map[string]key)
	var skipped error
	for _, w := range set.Keys {
		k, err := w.key()
		if err != nil {
			skipped = errors.Join(skipped, fmt.Errorf("key %q: %w", w.Kid, err))
			continue
		}
		keys[w.Kid] = k
	}
	if len(keys) == 0 {
		return nil, errors.Join(errors.New("it has no key for RS256 or ES256"), skipped)
	}
	return keys, nil
}

func (w jwk) key() (key, error) {
	if w.Use != "" && w.Use != "sig" {
		return key{}, errors.New("it is not for signatures")
	}
	k, err := w.public()
	if err == nil && w.Alg != "" && w.Alg != k.alg {
		err = fmt.Errorf("it is for %s", w.Alg)
	}
	return k, err
}

func (w jwk) public() (key, error) {
	switch {
	case w.Kty == "RSA":
		n, err1 := number(w.N)
		e, err2 := number(w.E)
		if err := errors.Join(err1, err2); err != nil {
			return key{}, err
		}
		if !e.IsInt64() || e.Int64() < 3 || e.Int64() >= maxRSAExp {
			return key{}, errors.New("its exponent is out of range")
		}
		return publicKey(&rsa.PublicKey{N: n, E: int(e.Int64())})
	case w.Kty == "EC" && w.Crv == "P-256":
		x, err1 := bytes32(w.X)
		y, err2 := bytes32(w.Y)
		if err := errors.Join(err1, err2); err != nil {
			return key{}, err
		}
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...)) // SEC 1 §2.3.4
		if err != nil {
			return key{}, errors.New("its point is not on the curve")
		}
		return publicKey(pub)
	}
	return key{}, fmt.Errorf("type %s %s is not used", w.Kty, w.Crv)
}

func number(s string) (*big.Int, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil, errors.New("a number of it is not base64url")
	}
	return new(big.Int).SetBytes(b), nil
}

func bytes32(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 32 {
		return nil, errors.New("a coordinate of it is not 32 bytes in base64url")
	}
	return b, nil
}
