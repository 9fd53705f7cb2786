package ticket

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
	p, err := k.parse(token, audience)
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
	return p, nil
}

// parse returns what a token says that is signed by one of the keys, and, without the error, is for the audience and has
// not expired.
func (k Keys) parse(token, audience string) (*payload, error) {
	p := new(payload)
	rules := []jwt.ParserOption{
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
	}
	header, _, _ := strings.Cut(token, ".")
	key, ours := k.byHeader[header]
	if !ours { // of another program, which may write the same differently
		_, err := jwt.NewParser(rules...).ParseWithClaims(token, p, k.lookUp)
		return p, err
	}
	if err := open(token, len(header), key, p); err != nil {
		return p, err
	}
	return p, jwt.NewValidator(rules...).Validate(p)
}

// strict refuses what Sign does not write.
var strict = base64.RawURLEncoding.Strict()

// open reads a token whose header is known to say HS256 and the key: most of them, and to decode a header costs as much as
// everything else.
func open(token string, header int, key []byte, p *payload) error {
	end := strings.LastIndexByte(token, '.')
	if end <= header {
		return jwt.ErrTokenMalformed
	}
	signature, err := strict.DecodeString(token[end+1:])
	if err != nil {
		return jwt.ErrTokenMalformed
	}
	if jwt.SigningMethodHS256.Verify(token[:end], signature, key) != nil {
		return jwt.ErrTokenSignatureInvalid
	}
	text, err := strict.DecodeString(token[header+1 : end])
	if err != nil || json.Unmarshal(text, p) != nil {
		return jwt.ErrTokenMalformed
	}
	return nil
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
