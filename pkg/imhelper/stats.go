package imhelper

import "context"

// Stats counts what an installation holds.
type Stats struct {
	Nodes       int `json:"nodes"`       // registered imservers
	Connections int `json:"connections"` // as the nodes reported with their last renewal, within a second
	Clients     int `json:"clients"`     // online
	Groups      int `json:"groups"`      // that have members
}

// Stats counts nodes, connections, online clients and groups. The four are not of the same instant.
//
// Errors: ErrUnavailable.
func (h *Helper) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	nodes, err := h.Nodes(ctx)
	if err != nil {
		return s, err
	}
	s.Nodes = len(nodes)
	for _, n := range nodes {
		s.Connections += n.Connections
	}
	s.Clients, s.Groups, err = h.store.Totals(ctx)
	return s, err
}
