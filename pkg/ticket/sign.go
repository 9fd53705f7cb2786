package ticket

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/imtier/imtier/pkg/protocol"
)

var (
	// ErrNoKey is returned by the zero Keys.
	ErrNoKey = errors.New("no signing key")
	// ErrTooBig is returned by Sign when metadata and groups together do not fit into a URL.
	ErrTooBig = fmt.Errorf("the token would be larger than %d bytes", protocol.MaxToken)
)

// Sign returns the token for c, signed with the first key. It fails when c breaks a limit of package protocol,
// when the lifetime is not within MaxLifetime, and with ErrTooBig when the token would exceed protocol.MaxToken.
func (k Keys) Sign(c Claims) (string, error) {
	if k.Empty() {
		return "", ErrNoKey
	}
	if c.IssuedAt.IsZero() {
		c.IssuedAt = time.Now()
	}
	if c.JTI == "" {
		c.JTI = rand.Text()
	}
	p := &payload{
		Subject:      c.ClientID,
		Audience:     audiences{audience},
		JTI:          c.JTI,
		Issued:       dateOf(c.IssuedAt),
		Expires:      dateOf(c.ExpiresAt),
		Meta:         c.Meta,
		Groups:       c.Groups,
		UntilOffline: c.UntilOffline,
		MayRequest:   c.MayRequest,
		Policy:       c.Policy,
	}
	if c.Device != protocol.DefaultDevice {
		p.Device = c.Device
	}
	return k.sign(p, MaxLifetime)
}

func (k Keys) sign(p *payload, maxLife time.Duration) (string, error) {
	if err := p.check(maxLife); err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	// Without escapes for HTML: with them meta may be longer in the token than Verify allows.
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(p); err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	token := k.header + "." + base64.RawURLEncoding.EncodeToString(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	signature, err := jwt.SigningMethodHS256.Sign(token, k.byID[k.kid])
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	token += "." + base64.RawURLEncoding.EncodeToString(signature)
	if len(token) > protocol.MaxToken {
		return "", ErrTooBig
	}
	return token, nil
}
