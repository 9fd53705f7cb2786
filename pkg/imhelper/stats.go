package imhelper

import "context"

// Stats counts what an installation holds.
type Stats struct {
	Nodes       int // registered imservers
	Connections int // as the nodes reported with their last renewal, within a second
	Clients     int // online
	Groups      int // that have members
}

// Stats counts nodes, connections, online clients and groups. The four are not of the same instant. Clients and groups
// are counted by walking through them, so this is for people and dashboards, not for every request.
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
	if s.Clients, err = count(func(cursor string) (int, string, error) {
		ids, next, err := h.OnlineClients(ctx, cursor, maxPage)
		return len(ids), next, err
	}); err != nil {
		return s, err
	}
	s.Groups, err = count(func(cursor string) (int, string, error) {
		groups, next, err := h.Groups(ctx, cursor, maxPage)
		return len(groups), next, err
	})
	return s, err
}

// count adds up the pages of a list.
func count(page func(cursor string) (n int, next string, err error)) (total int, err error) {
	for cursor := ""; ; {
		n, next, err := page(cursor)
		total += n
		if err != nil || next == "" {
			return total, err
		}
		cursor = next
	}
}
