package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/imtier/imtier/pkg/imhelper"
)

// revocations keep clients out.
type revocations struct{ h *imhelper.Helper }

func (c revocations) routes() []route {
	return []route{serve(route{
		method: http.MethodPost, path: "/v1/revocations", id: "revoke", tag: "Clients",
		summary: "Keep a client out, or what was opened by one URL",
		detail: "Connections that are open are closed with code 4502 within a second. Until `until`, URLs and sessions are refused " +
			"with 403 by the imservers, also URLs that are asked for later. `clientId` alone means everything of the client; `jti` " +
			"means one URL and every connection that goes back to it, and `clientId` beside it only says whose it is. " +
			"A new revocation replaces the one before it; `minutes` 0 lifts it.",
	}, c.revoke)}
}

// maxRevocationMinutes is imhelper.MaxRevocation.
const maxRevocationMinutes = int64(imhelper.MaxRevocation / time.Minute)

type revokeIn struct {
	ClientID name   `json:"clientId,omitempty" minLength:"1" maxLength:"128" example:"alice"`
	JTI      name   `json:"jti,omitempty" minLength:"1" maxLength:"64" description:"Name of a URL: in the answer of /v1/connect and in the list of a client's connections."`
	Minutes  *int64 `json:"minutes" required:"true" minimum:"0" maximum:"527040" example:"60" description:"How long; 0 lifts the revocation."`
}

type revokeOut struct {
	Until int64 `json:"until" description:"When it ends, Unix milliseconds."`
}

func (c revocations) revoke(ctx context.Context, in *revokeIn) (*revokeOut, error) {
	var r imhelper.Revocation
	if err := (names{
		{"clientId", in.ClientID, &r.ClientID},
		{"jti", in.JTI, &r.JTI},
	}).fill(); err != nil {
		return nil, err
	}
	if in.Minutes == nil {
		return nil, &imhelper.FieldError{Field: "minutes", Problem: "is missing"}
	}
	if *in.Minutes < 0 || *in.Minutes > maxRevocationMinutes {
		return nil, &imhelper.FieldError{Field: "minutes", Problem: fmt.Sprintf("is %d, want 0 to %d", *in.Minutes, maxRevocationMinutes)}
	}
	r.For = time.Duration(*in.Minutes) * time.Minute
	until, err := c.h.Revoke(ctx, r)
	if err != nil {
		return nil, err
	}
	return &revokeOut{until.UnixMilli()}, nil
}
