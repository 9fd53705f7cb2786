package imhelper

import (
	"context"
	"fmt"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// MaxRevocation is how long a revocation can last.
const MaxRevocation = 366 * 24 * time.Hour

// Revocation says whom to keep out: a client, or what was opened by one URL.
type Revocation struct {
	ClientID string // with JTI: whose URL it is, if that is known; without: everything of the client is refused
	JTI      string // of a URL, see Connect and Connection: it and every connection that goes back to it are refused
	For      time.Duration
}

// Revoke refuses connections until the returned time, and closes those that are open with 4502 (stay away), on every
// imserver within a second. Pending URLs, also ones made later for the client, and sessions of closed connections are
// refused; without Redis nobody is let in at all. A new revocation replaces the one before it; For = 0 lifts it.
//
// When it returns nil the revocation is in force. Errors: FieldError, ErrUnavailable; after the latter repeat it.
func (h *Helper) Revoke(ctx context.Context, r Revocation) (until time.Time, err error) {
	if err := checkAll(
		checkOptional("clientId", r.ClientID, protocol.CheckClientID),
		checkOptional("jti", r.JTI, protocol.CheckID),
	); err != nil {
		return until, err
	}
	if r.ClientID == "" && r.JTI == "" {
		return until, &FieldError{Field: "clientId", Problem: "is missing: give clientId, jti or both"}
	}
	if r.For < 0 || r.For > MaxRevocation || r.For > 0 && r.For < time.Millisecond {
		return until, &FieldError{Field: "minutes", Problem: fmt.Sprintf("is %v, want 0 to %v", r.For, MaxRevocation)}
	}
	until = time.Now().Add(r.For)
	if err := h.store.Revoke(ctx, r.ClientID, r.JTI, r.For); err != nil {
		return time.Time{}, doing("revoke", err)
	}
	return until, nil
}
