package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/imtier/imtier/pkg/imhelper"
)

// connects issues pre-connect URLs.
type connects struct{ h *imhelper.Helper }

// maxConnectBody bounds the one body that strangers may send: 4 KiB of metadata and 100 groups, escaped.
const maxConnectBody = 128 << 10

func (c connects) routes() []route {
	return []route{serve(route{
		method: http.MethodPost, path: "/v1/connect", id: "connect", tag: "Connecting",
		summary: "Get a URL that opens one WebSocket",
		detail: "The URL works once, for `ttl` seconds. It is a password: do not log or cache it.\n\n" +
			"With an API key, for any client. With the product's own user token (when the server is set up for them), " +
			"for that user: `clientId` may be left out, `groups`, `untilOffline`, `mayRequest` and `policy` are not allowed. " +
			"Without any (when guests are allowed), for a random `guest-…` clientId: only `device` and `ttl` may be given.",
		access: byUser, maxBody: maxConnectBody, noStore: true,
		problems: []int{http.StatusForbidden},
	}, c.connect)}
}

type connectIn struct {
	ClientID     name            `json:"clientId,omitempty" minLength:"1" maxLength:"128" example:"alice" description:"Whom the URL is for. Required with an API key."`
	Device       name            `json:"device,omitempty" minLength:"1" maxLength:"64" default:"default" example:"web" description:"Which of the client's devices."`
	Meta         json.RawMessage `json:"meta,omitempty" description:"Any JSON up to 4 KiB, shown in the session list and in events."`
	Groups       []string        `json:"groups,omitempty" maxItems:"100" description:"Groups that are joined at connect."`
	UntilOffline bool            `json:"untilOffline,omitempty" description:"Those groups are left when the client goes offline."`
	MayRequest   bool            `json:"mayRequest,omitempty" description:"The client may send requests to backends over its socket, which answer through imhelper's Handle."`
	Policy       name            `json:"policy,omitempty" example:"one-per-device" description:"How many connections the client may have when this one opens: any, one, one-per-device or max:N. The others are closed with 4501. IM_DEVICE_POLICY of the imserver unless given."`
	TTL          *int64          `json:"ttl,omitempty" minimum:"1" maximum:"60" default:"30" description:"Seconds that the URL works."`
}

type connectOut struct {
	URL       string `json:"url" description:"ws:// or wss://, to be opened once." example:"wss://node1.example.com/ws?token=…"`
	ClientID  string `json:"clientId" example:"alice"`
	JTI       string `json:"jti" description:"Names the URL, for /v1/revocations; no secret."`
	ExpiresAt int64  `json:"expiresAt" description:"Unix milliseconds."`
}

func (c connects) connect(ctx context.Context, in *connectIn) (*connectOut, error) {
	r := imhelper.ConnectRequest{
		Meta: in.Meta, Groups: in.Groups, UntilOffline: in.UntilOffline, MayRequest: in.MayRequest,
	}
	if err := (names{
		{"clientId", in.ClientID, &r.ClientID},
		{"device", in.Device, &r.Device},
		{"policy", in.Policy, &r.Policy},
	}).fill(); err != nil {
		return nil, err
	}
	if err := in.restrict(callerOf(ctx), &r); err != nil {
		return nil, err
	}
	if in.TTL != nil {
		ttl, err := seconds("ttl", *in.TTL)
		if err != nil {
			return nil, err
		}
		if ttl == 0 {
			return nil, &imhelper.FieldError{Field: "ttl", Problem: "is 0, want 1 to 60"}
		}
		r.TTL = ttl
	}
	u, err := c.h.PreConnect(ctx, r)
	if err != nil {
		return nil, err
	}
	return &connectOut{URL: u.URL, ClientID: u.ClientID, JTI: u.JTI, ExpiresAt: u.ExpiresAt.UnixMilli()}, nil
}

// restrict applies what a caller without an API key may ask for, and decides for whom the URL is.
func (in *connectIn) restrict(who caller, r *imhelper.ConnectRequest) error {
	if who.trusted {
		return nil
	}
	guest := who.user == ""
	for _, f := range []struct {
		name   string
		denied bool
	}{
		{"groups", in.Groups != nil},
		{"untilOffline", in.UntilOffline},
		{"mayRequest", in.MayRequest},
		{"policy", in.Policy != nil},
		{"meta", guest && in.Meta != nil},
		{"clientId", guest && in.ClientID != nil},
		{"clientId", !guest && in.ClientID != nil && *in.ClientID != who.user},
	} {
		if f.denied {
			p := problem(http.StatusForbidden, codeForbidden, f.name+" can only be chosen with an API key")
			p.Field = f.name
			return p
		}
	}
	r.ClientID = who.user
	if guest {
		r.ClientID = "guest-" + strings.ToLower(rand.Text())
	}
	return nil
}
