package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/imtier/imtier/pkg/imhelper"
)

// clients tells who is online and who they are.
type clients struct{ h *imhelper.Helper }

func (c clients) routes() []route {
	return []route{
		serve(route{
			method: http.MethodGet, path: "/v1/clients", id: "listClients", tag: "Clients",
			summary: "List the clients that are online",
		}, c.list),
		serve(route{
			method: http.MethodPost, path: "/v1/clients/query", id: "queryClients", tag: "Clients",
			summary: "Ask of up to 1000 clients whether they are online",
		}, c.query),
		serve(route{
			method: http.MethodGet, path: "/v1/clients/{clientId}", id: "getClient", tag: "Clients",
			summary: "Describe a client", detail: "A client that never connected is offline and has no connections; it is not an error to ask for one.",
		}, c.describe),
	}
}

type clientsOut struct {
	Clients []clientRef `json:"clients"`
	Next    string      `json:"next" description:"cursor of the next page; empty when this is the last one."`
}

type clientRef struct {
	ClientID string `json:"clientId" example:"alice"`
}

type queryIn struct {
	ClientIDs []string `json:"clientIds" required:"true" minItems:"1" maxItems:"1000"`
}

type queryOut struct {
	Online map[string]bool `json:"online" description:"By clientId."`
}

type clientIn struct {
	ClientID string `path:"clientId" json:"-"`
}

type clientOut struct {
	ClientID    string          `json:"clientId" example:"alice"`
	Online      bool            `json:"online"`
	LastSeen    int64           `json:"lastSeen,omitempty" description:"When it last went offline, Unix milliseconds; absent when it is online or was not seen for 30 days."`
	Groups      []string        `json:"groups"`
	Connections []connectionOut `json:"connections"`
}

type connectionOut struct {
	ConnID string          `json:"connId"`
	Device string          `json:"device" example:"web"`
	Node   string          `json:"node"`
	Since  int64           `json:"since" description:"Unix milliseconds."`
	IP     string          `json:"ip"`
	JTI    string          `json:"jti,omitempty" description:"Name of the URL that it goes back to, for /v1/revocations."`
	Meta   json.RawMessage `json:"meta,omitempty" description:"As given when the URL was asked for."`
}

func (c clients) list(ctx context.Context, in *paging) (*clientsOut, error) {
	ids, next, err := c.h.OnlineClients(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &clientsOut{Clients: make([]clientRef, len(ids)), Next: next}
	for i, id := range ids {
		out.Clients[i] = clientRef{id}
	}
	return out, nil
}

func (c clients) query(ctx context.Context, in *queryIn) (*queryOut, error) {
	online, err := c.h.Online(ctx, in.ClientIDs...)
	if err != nil {
		return nil, err
	}
	return &queryOut{online}, nil
}

func (c clients) describe(ctx context.Context, in *clientIn) (*clientOut, error) {
	info, err := c.h.Client(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	out := &clientOut{
		ClientID: info.ClientID, Online: info.Online, LastSeen: millis(info.LastSeen),
		Groups: append([]string{}, info.Groups...), Connections: make([]connectionOut, len(info.Connections)),
	}
	for i, x := range info.Connections {
		out.Connections[i] = connectionOut{
			ConnID: x.ConnID, Device: x.Device, Node: x.Node, Since: millis(x.Since), IP: x.IP, JTI: x.JTI, Meta: x.Meta,
		}
	}
	return out, nil
}
