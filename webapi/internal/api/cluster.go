package api

import (
	"context"
	"net/http"

	"github.com/imtier/imtier/pkg/imhelper"
)

// cluster shows and drains the imservers, and counts what they hold.
type cluster struct{ h *imhelper.Helper }

func (c cluster) routes() []route {
	return []route{
		serve(route{
			method: http.MethodGet, path: "/v1/nodes", id: "listNodes", tag: "Cluster",
			summary: "List the imservers that are registered",
		}, c.nodes),
		serve(route{
			method: http.MethodPost, path: "/v1/nodes/{id}/drain", id: "drainNode", tag: "Cluster",
			summary: "Let a node take no new clients and hand over the connections it has",
			detail: "Spread over the node's drain time, clients that speak imtier.v1 are told to go to another node and stay online. " +
				"The others, and those that have not gone in time, are closed with code 4000 and reconnect elsewhere. " +
				"The node keeps running until somebody stops it.",
			status: http.StatusNoContent, problems: []int{http.StatusNotFound},
		}, c.drain),
		serve(route{
			method: http.MethodGet, path: "/v1/stats", id: "stats", tag: "Cluster",
			summary: "Count nodes, connections, online clients and groups",
		}, c.stats),
	}
}

type nodeOut struct {
	ID          string `json:"id"`
	URL         string `json:"url" description:"That clients dial."`
	Started     int64  `json:"started" description:"Unix milliseconds."`
	Renewed     int64  `json:"renewed" description:"When it last renewed its lease, Unix milliseconds; every half a second."`
	Connections int    `json:"connections"`
	Draining    bool   `json:"draining"`
}

type nodesOut struct {
	Nodes []nodeOut `json:"nodes"`
}

type nodeIn struct {
	ID string `path:"id" json:"-"`
}

type statsOut struct {
	Nodes       int `json:"nodes" description:"Registered imservers."`
	Connections int `json:"connections" description:"Sockets, as the nodes reported within the last second."`
	Clients     int `json:"clients" description:"Clients that are online."`
	Groups      int `json:"groups" description:"Groups that have members."`
}

func (c cluster) nodes(ctx context.Context, _ *empty) (*nodesOut, error) {
	nodes, err := c.h.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	out := &nodesOut{Nodes: make([]nodeOut, len(nodes))}
	for i, n := range nodes {
		out.Nodes[i] = nodeOut{
			ID: n.ID, URL: n.URL, Started: millis(n.Started), Renewed: millis(n.Renewed),
			Connections: n.Connections, Draining: n.Draining,
		}
	}
	return out, nil
}

func (c cluster) drain(ctx context.Context, in *nodeIn) (empty, error) {
	return empty{}, c.h.Drain(ctx, in.ID)
}

func (c cluster) stats(ctx context.Context, _ *empty) (*statsOut, error) {
	s, err := c.h.Stats(ctx)
	if err != nil {
		return nil, err
	}
	out := statsOut(s)
	return &out, nil
}
