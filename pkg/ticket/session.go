package ticket

import (
	"encoding/json"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// maxSession is how old a connection may be and still be resumed by its session token. What really ends a token
// is kept in Redis: its use, two minutes after the socket closed, or a revocation.
const maxSession = 30 * 24 * time.Hour

// Session is what a session token says: it lets the holder of one connection open its successor.
type Session struct {
	ClientID   string
	Device     string // never empty when verified
	ConnID     string // the connection that is to be resumed
	Origin     string // the first connection of the session; ConnID if empty, never empty when verified
	Meta       json.RawMessage
	MayRequest bool
	Policy     string // as in Claims
	JTI        string // of the URL that the first of these connections was opened by; what is revoked, is revoked by it
}

// SignSession returns the token for s, signed with the first key. Errors are those of Sign.
func (k Keys) SignSession(s Session) (string, error) {
	if k.Empty() {
		return "", ErrNoKey
	}
	now := time.Now()
	p := &payload{
		Subject:    s.ClientID,
		Audience:   audiences{sessionAudience},
		JTI:        s.ConnID,
		Issued:     dateOf(now),
		Expires:    dateOf(now.Add(maxSession)),
		Meta:       s.Meta,
		MayRequest: s.MayRequest,
		Policy:     s.Policy,
		URL:        s.JTI,
	}
	if s.Origin != s.ConnID { // the usual session is never resumed
		p.Origin = s.Origin
	}
	if s.Device != protocol.DefaultDevice {
		p.Device = s.Device
	}
	return k.sign(p, maxSession)
}

// VerifySession returns what a session token says, or an error that is ErrInvalid or ErrExpired.
func (k Keys) VerifySession(token string) (Session, error) {
	p, err := k.verify(token, sessionAudience, maxSession)
	if err != nil {
		return Session{}, err
	}
	c := p.claims()
	s := Session{
		ClientID: c.ClientID, Device: c.Device, ConnID: c.JTI, Origin: p.Origin, Meta: c.Meta, MayRequest: c.MayRequest,
		Policy: c.Policy, JTI: p.URL,
	}
	if s.Origin == "" {
		s.Origin = s.ConnID
	}
	return s, nil
}
