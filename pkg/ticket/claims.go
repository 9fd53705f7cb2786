package ticket

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/imtier/imtier/pkg/protocol"
)

// MaxLifetime bounds ExpiresAt − IssuedAt: what leaks into a log or a browser's history is worthless a minute later.
const MaxLifetime = 60 * time.Second

// Audiences keep other tokens that happen to be signed with the same key from opening a socket, and the two kinds
// of ours apart.
const (
	audience        = "imtier-connect"
	sessionAudience = "imtier-session"
)

// maxPolicyLen is more than the longest device policy has, in bytes. What it means is for those who apply it to judge.
const maxPolicyLen = 32

// Claims is what a token says.
type Claims struct {
	ClientID string
	Device   string          // empty means protocol.DefaultDevice when signing; never empty when verified
	JTI      string          // the token's own name; Sign makes a random one when it is empty
	Meta     json.RawMessage // any JSON, or nil
	Groups   []string        // joined at connect

	UntilOffline bool // Groups are left when the client goes offline
	MayRequest   bool // the client may send requests to backends

	Policy string // the device policy that counts for this connection; empty means the imserver's

	IssuedAt  time.Time // zero means now when signing; millisecond precision
	ExpiresAt time.Time
}

// payload is Claims as JSON. Names are short because the token travels in a URL.
type payload struct {
	Subject  string    `json:"sub"`
	Audience audiences `json:"aud"`
	JTI      string    `json:"jti"`
	Issued   *date     `json:"iat"`
	Expires  *date     `json:"exp"`

	Device       string          `json:"dev,omitempty"`
	Meta         json.RawMessage `json:"meta,omitempty"`
	Groups       []string        `json:"grp,omitempty"`
	UntilOffline bool            `json:"uof,omitempty"`
	MayRequest   bool            `json:"req,omitempty"`
	Policy       string          `json:"pol,omitempty"`
	Origin       string          `json:"org,omitempty"` // of a session token: the first connection of the session
	URL          string          `json:"url,omitempty"` // of a session token: the jti of the URL that opened that one
}

// audiences is written as an array and read also as a single text (RFC 7519 §4.1.3).
type audiences []string

func (a *audiences) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*a = audiences{""}
		return json.Unmarshal(b, &(*a)[0])
	}
	var all []string
	err := json.Unmarshal(b, &all)
	*a = all
	return err
}

// date is a NumericDate (RFC 7519 §2) with milliseconds, so that a URL for one second lives for one second.
type date int64 // Unix milliseconds

func dateOf(t time.Time) *date {
	d := date(t.UnixMilli())
	return &d
}

func (d *date) time() *jwt.NumericDate {
	if d == nil {
		return nil
	}
	return &jwt.NumericDate{Time: time.UnixMilli(int64(*d))}
}

// MarshalJSON writes seconds with three decimals.
func (d date) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(d)/1000, 'f', 3, 64), nil
}

// maxDate bounds a date, in seconds, to what survives the conversion to milliseconds: the year 9999.
const maxDate = 253402300799

func (d *date) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || !(f >= 0 && f <= maxDate) {
		return errors.New("bad date")
	}
	*d = date(math.Round(f * 1000))
	return nil
}

// The methods of jwt.Claims, which the library validates exp and aud through.

func (p *payload) GetExpirationTime() (*jwt.NumericDate, error) { return p.Expires.time(), nil }
func (p *payload) GetIssuedAt() (*jwt.NumericDate, error)       { return p.Issued.time(), nil }
func (p *payload) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (p *payload) GetIssuer() (string, error)                   { return "", nil }
func (p *payload) GetSubject() (string, error)                  { return p.Subject, nil }
func (p *payload) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings(p.Audience), nil }

// check holds what both sides demand of a token beyond its signature.
func (p *payload) check(maxLife time.Duration) error {
	if p.JTI == "" || len(p.JTI) > protocol.MaxIDLen {
		return errors.New("jti is missing or too long")
	}
	if p.Issued == nil || p.Expires == nil {
		return errors.New("iat or exp is missing")
	}
	life := time.Duration(*p.Expires-*p.Issued) * time.Millisecond
	if life <= 0 || life > maxLife {
		return fmt.Errorf("the lifetime is %v, want more than 0 and at most %v", life, maxLife)
	}
	if err := protocol.CheckClientID(p.Subject); err != nil {
		return fmt.Errorf("sub: %w", err)
	}
	if p.Device != "" {
		if err := protocol.CheckDevice(p.Device); err != nil {
			return fmt.Errorf("device: %w", err)
		}
	}
	if len(p.URL) > protocol.MaxIDLen {
		return errors.New("the first connection's name is too long")
	}
	if len(p.Meta) > protocol.MaxMetaLen {
		return fmt.Errorf("meta has %d bytes, at most %d are allowed", len(p.Meta), protocol.MaxMetaLen)
	}
	if len(p.Groups) > protocol.MaxGroupsJoin {
		return fmt.Errorf("%d groups, at most %d are allowed", len(p.Groups), protocol.MaxGroupsJoin)
	}
	if len(p.Policy) > maxPolicyLen || len(p.Origin) > protocol.MaxIDLen {
		return errors.New("the policy or the URL's name is too long")
	}
	for _, g := range p.Groups {
		if err := protocol.CheckGroup(g); err != nil {
			return fmt.Errorf("group: %w", err)
		}
	}
	return nil
}
