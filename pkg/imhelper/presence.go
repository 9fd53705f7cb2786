package imhelper

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// Client is what is known about a client.
type Client struct {
	ClientID    string       `json:"clientId"`
	Online      bool         `json:"online"`
	LastSeen    time.Time    `json:"lastSeen,omitzero"` // when it last went offline; zero when it is online or was not seen for 30 days
	Groups      []string     `json:"groups"`
	Connections []Connection `json:"connections"`
}

// Connection is one socket of a client.
type Connection struct {
	ConnID string          `json:"connId"`
	Device string          `json:"device"`
	Node   string          `json:"node"`
	Since  time.Time       `json:"since"`
	IP     string          `json:"ip"`
	JTI    string          `json:"jti,omitempty"`  // of the URL that it goes back to, for Revoke
	Meta   json.RawMessage `json:"meta,omitempty"` // as given at pre-connect, or nil
}

// Online says for each of up to 1000 clients whether it is online. A client that lost its last connection a moment
// ago (the imservers' offline grace) still is.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) Online(ctx context.Context, clientIDs ...string) (map[string]bool, error) {
	if err := checkList("clientIds", clientIDs, protocol.MaxReceivers, protocol.CheckClientID); err != nil {
		return nil, err
	}
	online, err := h.store.Online(ctx, unique(clientIDs))
	return online, doing("query presence", err)
}

// OnlineClients lists the clients that are online, limit at a time (0 means 100, at most 1000), starting after
// cursor. An empty next means that this was the last page. Clients that come or go meanwhile may or may not be listed.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) OnlineClients(ctx context.Context, cursor string, limit int) (clientIDs []string, next string, err error) {
	if limit, err = page(limit); err != nil {
		return nil, "", err
	}
	clientIDs, next, err = h.store.OnlineClients(ctx, cursor, limit)
	if err != nil {
		return nil, "", cursorError("list online clients", err)
	}
	return clientIDs, next, nil
}

// Client describes a client: its connections, groups and when it was last seen. A client that never connected is
// offline and has none.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) Client(ctx context.Context, clientID string) (*Client, error) {
	if err := checkClientID("clientId", clientID); err != nil {
		return nil, err
	}
	info, err := h.store.Client(ctx, clientID)
	if err != nil {
		return nil, fmt.Errorf("describe client: %w", err)
	}
	c := &Client{
		ClientID: clientID, Online: info.Online, LastSeen: info.LastSeen,
		Groups: make([]string, len(info.Groups)), Connections: make([]Connection, len(info.Connections)),
	}
	for i, m := range info.Groups {
		c.Groups[i] = m.Group
	}
	for i, x := range info.Connections {
		c.Connections[i] = Connection(x)
	}
	return c, nil
}

// ForceOffline closes a client's connections (close code 4500: stay away), all of them or, when device is not empty,
// those of one device. It returns how many were told to close; they are gone a moment later. The client may connect
// again with a new URL.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) ForceOffline(ctx context.Context, clientID, device string) (closed int, err error) {
	if err := checkAll(
		checkClientID("clientId", clientID),
		checkOptional("device", device, protocol.CheckDevice),
	); err != nil {
		return 0, err
	}
	closed, err = h.store.Kick(ctx, clientID, device, "", protocol.ReasonForcedOffline.Code())
	return closed, doing("force offline", err)
}

// CloseConnection closes one connection (close code 4500). ErrNotFound when there is no such connection.
//
// Errors: ErrNotFound, ErrUnavailable.
func (h *Helper) CloseConnection(ctx context.Context, connID string) error {
	if _, ok := protocol.ConnPartition(connID); !ok {
		return fmt.Errorf("close connection: %w: %.40q is not a connection's name", ErrNotFound, connID)
	}
	found, err := h.store.KickConn(ctx, connID, protocol.ReasonForcedOffline.Code())
	if err != nil {
		return fmt.Errorf("close connection: %w", err)
	}
	if !found {
		return fmt.Errorf("close connection: %w: %s", ErrNotFound, connID)
	}
	return nil
}
