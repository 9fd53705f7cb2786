package usertoken

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	minSecret  = 32   // bytes; RFC 7518 §3.2
	minRSABits = 2048 // RFC 7518 §3.3
	maxKeyFile = 64 << 10
)

// key is a verification key with the one algorithm it is used for.
type key struct {
	alg   string
	value any // []byte, *rsa.PublicKey or *ecdsa.PublicKey
}

// Key is a single verification key.
type Key struct{ key key }

// KeyForms says how a key is written, for help texts.
const KeyForms = "a public key in PEM or file:<path> of one (RSA: RS256, P-256: ES256), base64:<secret>, or a secret " +
	"as it is (HS256), at least 32 bytes"

// ParseKey reads a key as IM_USER_JWT_KEY has it; see KeyForms. The forms may be preceded by the algorithm and a colon
// (HS256:, RS256:, ES256:), which then has to fit. Line breaks in a PEM may be written as \n. Errors do not quote the key.
func ParseKey(text string) (Key, error) {
	text, want := cutAlg(strings.TrimSpace(text))
	k, err := parseKey(text)
	if err != nil {
		return Key{}, err
	}
	if want != "" && k.alg != want {
		return Key{}, fmt.Errorf("it is a key for %s, not for %s", k.alg, want)
	}
	return Key{k}, nil
}

func cutAlg(text string) (rest, alg string) {
	if head, rest, ok := strings.Cut(text, ":"); ok {
		switch alg := strings.ToUpper(head); alg {
		case "HS256", "RS256", "ES256":
			return rest, alg
		}
	}
	return text, ""
}

func parseKey(text string) (key, error) {
	if path, ok := strings.CutPrefix(text, "file:"); ok {
		b, err := readFile(path, maxKeyFile)
		if err != nil {
			return key{}, err
		}
		return parsePEM(string(b))
	}
	if strings.HasPrefix(text, "-----BEGIN ") {
		return parsePEM(strings.ReplaceAll(text, `\n`, "\n"))
	}
	secret := []byte(text)
	if b64, ok := strings.CutPrefix(text, "base64:"); ok {
		var err error
		b64 = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(b64, "="))
		if secret, err = base64.RawStdEncoding.DecodeString(b64); err != nil {
			return key{}, errors.New("it is not base64")
		}
	}
	if len(secret) < minSecret {
		return key{}, fmt.Errorf("the secret has %d bytes, want at least %d", len(secret), minSecret)
	}
	return key{"HS256", secret}, nil
}

func parsePEM(text string) (key, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return key{}, errors.New("it is not a PEM block")
	}
	switch block.Type {
	case "PUBLIC KEY":
		pub, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return key{}, errors.New("the PEM block holds no public key that can be read")
		}
		return publicKey(pub)
	case "RSA PUBLIC KEY":
		pub, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return key{}, errors.New("the PEM block holds no RSA key that can be read")
		}
		return publicKey(pub)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return key{}, errors.New("the PEM block holds no certificate that can be read")
		}
		return publicKey(cert.PublicKey)
	}
	return key{}, fmt.Errorf("the PEM block is a %s, want a PUBLIC KEY", block.Type)
}

// publicKey picks the algorithm of a key and refuses weak ones.
func publicKey(pub any) (key, error) {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return key{}, fmt.Errorf("the RSA key has %d bits, want at least %d", k.N.BitLen(), minRSABits)
		}
		return key{"RS256", k}, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return key{}, errors.New("the key is on another curve than P-256")
		}
		return key{"ES256", k}, nil
	}
	return key{}, fmt.Errorf("a %T is no key for RS256 or ES256", pub)
}

// find returns the key, whatever kid a token names.
func (k Key) find(context.Context, string) (key, error) { return k.key, nil }

// readFile reads a small file.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are allowed", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}
