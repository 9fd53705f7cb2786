package imhelper

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/ticket"
)

// DefaultConnectTTL is how long a pre-connect URL works unless ConnectRequest.TTL says otherwise.
const DefaultConnectTTL = 30 * time.Second

// ConnectRequest says for whom a pre-connect URL is, and what the connection may do.
type ConnectRequest struct {
	ClientID string          // required
	Device   string          // empty means "default"
	Meta     json.RawMessage // any JSON up to 4 KiB; shown in the session list and in events
	Groups   []string        // joined at connect, at most 100

	UntilOffline bool // Groups are left when the client goes offline
	MayRequest   bool // the client may send requests to backends: see Handle

	// Policy says how many connections the client may have when this one opens: "any", "one", "one-per-device" or
	// "max:N". The newest stay, the others are closed with 4501. Empty means the imserver's IM_DEVICE_POLICY.
	Policy string

	TTL time.Duration // how long the URL works, at most 60 s; zero means 30 s
}

// Connect is a pre-connect URL. It is a password: it must not be logged or cached. As JSON it is what POST /v1/connect
// answers, so a backend may hand it to a page as it is.
type Connect struct {
	URL       string    `json:"url"` // ws:// or wss://, opens one connection
	ClientID  string    `json:"clientId"`
	JTI       string    `json:"jti"` // names the URL, for Revoke; no secret
	Node      string    `json:"-"`   // that the URL leads to
	ExpiresAt time.Time `json:"expiresAt"`
}

// PreConnect makes a URL by which a client opens one WebSocket, within ConnectRequest.TTL. Nothing is stored: the
// URL is signed, and used up by the imserver that accepts it. Clients of one partition are sent to the same node as
// long as the set of nodes stays the same.
//
// Errors: FieldError, ErrNoKeys, ErrNoNode, ErrUnavailable.
func (h *Helper) PreConnect(ctx context.Context, r ConnectRequest) (*Connect, error) {
	if h.keys.Empty() {
		return nil, fmt.Errorf("pre-connect: %w: set Options.SigningKeys", ErrNoKeys)
	}
	if r.TTL == 0 {
		r.TTL = DefaultConnectTTL
	}
	if err := checkConnect(r); err != nil {
		return nil, err
	}
	nodes, err := h.nodes.live(ctx)
	if err != nil {
		return nil, fmt.Errorf("pre-connect: %w", err)
	}
	node, ok := store.PickNode(nodes, h.store.Partition(r.ClientID))
	if !ok {
		return nil, fmt.Errorf("pre-connect: %w", ErrNoNode)
	}
	now := time.Now()
	c := &Connect{ClientID: r.ClientID, JTI: rand.Text(), Node: node.ID, ExpiresAt: now.Add(r.TTL)}
	token, err := h.keys.Sign(ticket.Claims{
		ClientID:     r.ClientID,
		Device:       r.Device,
		JTI:          c.JTI,
		Meta:         r.Meta,
		Groups:       unique(r.Groups),
		UntilOffline: r.UntilOffline,
		MayRequest:   r.MayRequest,
		Policy:       r.Policy,
		IssuedAt:     now,
		ExpiresAt:    c.ExpiresAt,
	})
	if errors.Is(err, ticket.ErrTooBig) {
		return nil, &FieldError{Field: "groups", Problem: "and meta together do not fit into a URL: " + err.Error(), TooBig: true}
	}
	if err != nil {
		return nil, fmt.Errorf("pre-connect: %w", err)
	}
	c.URL = ticket.URL(node.URL, token)
	return c, nil
}

func checkConnect(r ConnectRequest) error {
	if err := checkAll(
		checkClientID("clientId", r.ClientID),
		checkOptional("device", r.Device, protocol.CheckDevice),
		checkEach("groups", r.Groups, protocol.MaxGroupsJoin, protocol.CheckGroup),
	); err != nil {
		return err
	}
	if r.TTL < time.Second || r.TTL > ticket.MaxLifetime {
		return &FieldError{Field: "ttl", Problem: fmt.Sprintf("is %v, want 1s to %v", r.TTL, ticket.MaxLifetime)}
	}
	if _, err := store.ParseDevicePolicy(r.Policy); err != nil {
		return &FieldError{Field: "policy", Problem: fmt.Sprintf("is %.40q, want any, one, one-per-device or max:N with N from 1 to 1000", r.Policy)}
	}
	if len(r.Meta) > protocol.MaxMetaLen {
		return tooBig("meta", len(r.Meta), protocol.MaxMetaLen)
	}
	if r.Meta != nil {
		return checkJSON("meta", r.Meta)
	}
	return nil
}
