package ticket

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	minKeyLen = 32 // bytes; RFC 7518 §3.2: not shorter than the hash, 256 bits for HS256
	maxKeyLen = 1 << 10
	maxKIDLen = 32 // bytes; the kid travels in every URL
	maxKeys   = 16 // keys at once; a rotation needs two or three
)

// Keys are the signing keys of an installation. The first signs, all verify, so a key is replaced by adding the
// new one behind the old everywhere, then moving it to the front, then dropping the old one.
type Keys struct {
	kid      string // of the key that signs
	byID     map[string][]byte
	byHeader map[string][]byte // by the first part of the tokens that Sign makes with a key
	header   string            // of those that this one makes
}

// ParseKeys reads "kid:base64[,kid:base64…]". A kid is 1–32 characters of A–Z, a–z, 0–9, "-", "_" and "."; a key
// is at least 32 bytes, in standard or URL-safe base64, with or without padding. Errors name the kid, never the key.
func ParseKeys(s string) (Keys, error) {
	k := Keys{byID: make(map[string][]byte), byHeader: make(map[string][]byte)}
	if strings.TrimSpace(s) == "" {
		return Keys{}, errors.New("no signing key: want kid:base64[,kid:base64…]")
	}
	for i, part := range strings.Split(s, ",") {
		kid, text, ok := strings.Cut(strings.TrimSpace(part), ":")
		if !ok {
			return Keys{}, fmt.Errorf("signing key %d: want kid:base64", i+1)
		}
		if err := checkKID(kid); err != nil {
			return Keys{}, fmt.Errorf("signing key %d: %w", i+1, err)
		}
		if _, twice := k.byID[kid]; twice {
			return Keys{}, fmt.Errorf("signing key %d: kid %q is given twice", i+1, kid)
		}
		key, err := decodeKey(text)
		if err != nil {
			return Keys{}, fmt.Errorf("signing key %q: %w", kid, err)
		}
		header := headerOf(kid)
		if k.kid == "" {
			k.kid, k.header = kid, header
		}
		k.byID[kid], k.byHeader[header] = key, key
	}
	if len(k.byID) > maxKeys {
		return Keys{}, fmt.Errorf("%d signing keys, at most %d are allowed", len(k.byID), maxKeys)
	}
	return k, nil
}

// headerOf is the first part of a token (RFC 7515 §3.1). A kid needs no escaping.
func headerOf(kid string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"` + kid + `","typ":"JWT"}`))
}

func checkKID(kid string) error {
	if kid == "" || len(kid) > maxKIDLen {
		return fmt.Errorf("the kid has %d characters, want 1–%d", len(kid), maxKIDLen)
	}
	for _, r := range kid {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
		default:
			return fmt.Errorf("the kid has the character %q; allowed are letters, digits, \"-\", \"_\" and \".\"", r)
		}
	}
	return nil
}

func decodeKey(s string) ([]byte, error) {
	s = strings.TrimRight(strings.TrimSpace(s), "=")
	s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	key, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("the key is not base64") // the decoder's own text would show a part of it
	}
	if len(key) < minKeyLen || len(key) > maxKeyLen {
		return nil, fmt.Errorf("the key has %d bytes, want %d–%d", len(key), minKeyLen, maxKeyLen)
	}
	return key, nil
}

// Empty reports whether there is no key: the zero Keys neither signs nor verifies anything.
func (k Keys) Empty() bool { return len(k.byID) == 0 }
