package ticket

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/imtier/imtier/pkg/protocol"
)

var (
	// ErrInvalid is wrapped by every refusal but that of an expired token.
	ErrInvalid = errors.New("invalid token")
	// ErrExpired is returned for a token that was good once.
	ErrExpired = errors.New("expired token")

	errUnknownKey = errors.New("unknown kid")
)

// maxSkew is how far the issuer's clock may be ahead of this one's.
const maxSkew = 5 * time.Second

// Verify returns what a token says, or an error that is ErrInvalid or ErrExpired. It accepts HS256 under one of
// the keys and nothing else, and reads no token that is larger than protocol.MaxToken.
func (k Keys) Verify(token string) (Claims, error) {
	p, err := k.verify(token, audience, MaxLifetime)
	if err != nil {
		return Claims{}, err
	}
	return p.claims(), nil
}

func (k Keys) verify(token, audience string, maxLife time.Duration) (*payload, error) {
	if len(token) > protocol.MaxToken {
		return nil, fmt.Errorf("%w: %d bytes", ErrInvalid, len(token))
	}
	var p payload
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
	)
	_, err := parser.ParseWithClaims(token, &p, k.lookUp)
	if errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenInvalidAudience) && p.check(maxLife) == nil {
		return nil, ErrExpired
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, plain(err))
	}
	if err := p.check(maxLife); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if time.Until(p.Issued.time().Time) > maxSkew {
		return nil, fmt.Errorf("%w: issued in the future", ErrInvalid)
	}
	return &p, nil
}

// lookUp finds the key by its kid. A token without kid is refused: trying all keys would hide a broken rotation.
func (k Keys) lookUp(t *jwt.Token) (any, error) {
	kid, _ := t.Header["kid"].(string)
	key, ok := k.byID[kid]
	if !ok {
		return nil, errUnknownKey
	}
	return key, nil
}

// plain reduces the library's error to its kind: its text may quote parts of what was parsed.
func plain(err error) error {
	for _, kind := range []error{
		errUnknownKey, jwt.ErrTokenMalformed, jwt.ErrTokenSignatureInvalid,
		jwt.ErrTokenRequiredClaimMissing, jwt.ErrTokenInvalidAudience,
	} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return errors.New("not acceptable")
}

func (p *payload) claims() Claims {
	c := Claims{
		ClientID:     p.Subject,
		Device:       p.Device,
		JTI:          p.JTI,
		Meta:         p.Meta,
		Groups:       p.Groups,
		UntilOffline: p.UntilOffline,
		MayRequest:   p.MayRequest,
		Policy:       p.Policy,
		IssuedAt:     p.Issued.time().Time,
		ExpiresAt:    p.Expires.time().Time,
	}
	if c.Device == "" {
		c.Device = protocol.DefaultDevice
	}
	return c
}
