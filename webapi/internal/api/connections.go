package api

import (
	"context"
	"net/http"

	"github.com/imtier/imtier/pkg/imhelper"
)

// connections closes sockets.
type connections struct{ h *imhelper.Helper }

func (c connections) routes() []route {
	return []route{
		serve(route{
			method: http.MethodDelete, path: "/v1/clients/{clientId}/connections", id: "forceOffline", tag: "Clients",
			summary: "Close a client's connections",
			detail:  "They are closed with code 4500. The client may connect again with a new URL.",
		}, c.forceOffline),
		serve(route{
			method: http.MethodDelete, path: "/v1/connections/{connId}", id: "closeConnection", tag: "Clients",
			summary: "Close one connection", status: http.StatusNoContent, problems: []int{http.StatusNotFound},
		}, c.close),
	}
}

type forceOfflineIn struct {
	ClientID string `path:"clientId" json:"-"`
	Device   string `query:"device" json:"-" maxLength:"64" description:"Only connections of this device."`
}

type closedOut struct {
	Closed int `json:"closed" description:"How many connections were told to close."`
}

type connectionIn struct {
	ConnID string `path:"connId" json:"-"`
}

func (c connections) forceOffline(ctx context.Context, in *forceOfflineIn) (*closedOut, error) {
	n, err := c.h.ForceOffline(ctx, in.ClientID, in.Device)
	if err != nil {
		return nil, err
	}
	return &closedOut{n}, nil
}

func (c connections) close(ctx context.Context, in *connectionIn) (empty, error) {
	return empty{}, c.h.CloseConnection(ctx, in.ConnID)
}
