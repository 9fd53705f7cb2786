package usertoken

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/imtier/imtier/pkg/protocol"
)

const (
	maxToken = 16 << 10        // bytes; identity providers put a lot into tokens
	maxSkew  = 5 * time.Second // between the issuer's clock and this one
)

// ErrInvalid is wrapped by every refusal. No error quotes the token.
var ErrInvalid = errors.New("invalid user token")

// Source is where keys come from: a Key or a *JWKS.
type Source interface {
	// find returns the key for a kid, which is empty when the token names none.
	find(ctx context.Context, kid string) (key, error)
}

// Verifier checks user tokens.
type Verifier struct{ sources []Source }

// New returns a Verifier of tokens under any of the given keys: Key and *JWKS values.
func New(sources ...Source) *Verifier { return &Verifier{sources} }

// Verify returns the subject of a token: a good clientId. It demands exp, and respects nbf and iat.
func (v *Verifier) Verify(ctx context.Context, token string) (clientID string, err error) {
	if len(token) > maxToken {
		return "", fmt.Errorf("%w: %d bytes", ErrInvalid, len(token))
	}
	var refusals []error
	for _, s := range v.sources {
		clientID, err := verify(ctx, s, token)
		if err == nil {
			return clientID, nil
		}
		refusals = append(refusals, err)
	}
	return "", fmt.Errorf("%w: %w", ErrInvalid, errors.Join(refusals...))
}

func verify(ctx context.Context, s Source, token string) (string, error) {
	var claims jwt.RegisteredClaims
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"HS256", "RS256", "ES256"}),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(maxSkew),
	)
	_, err := parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		k, err := s.find(ctx, kid)
		if err != nil {
			return nil, err
		}
		if t.Method.Alg() != k.alg { // a public key must never serve as a secret
			return nil, errAlg
		}
		return k.value, nil
	})
	if err != nil {
		return "", plain(err)
	}
	if err := protocol.CheckClientID(claims.Subject); err != nil {
		return "", fmt.Errorf("sub: %w", err)
	}
	return claims.Subject, nil
}

var (
	errAlg        = errors.New("signed with another algorithm than the key is for")
	errUnknownKey = errors.New("no key of that kid")
)

// plain reduces the library's error to its kind: its text may quote parts of the token.
func plain(err error) error {
	for _, kind := range []error{
		errAlg, errUnknownKey, jwt.ErrTokenExpired, jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued,
		jwt.ErrTokenRequiredClaimMissing, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenMalformed,
	} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return errors.New("not acceptable")
}
