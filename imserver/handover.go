package imserver

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/ticket"
)

const (
	// drainPace spreads the clients of a draining node: 100 a second, but never beyond spreadShare of the time.
	drainPace   = 10 * time.Millisecond
	spreadShare = 0.6
	// A client has withinShare of the drain time, and never more than maxWithin, to open the URL that it was told.
	// The rest of the time is for closing who did not.
	withinShare = 0.3
	maxWithin   = 10 * time.Second
	// targetsMaxAge is how old the list of other nodes may be: one that died is not offered for longer than that and
	// the 3 s for which its lease counts as fresh.
	targetsMaxAge = time.Second
)

// handover sends the clients of a draining node to others. It is the one place where a node looks at who else there
// is, and only while it drains: clients that asked for new URLs instead would have to reach their backend first, and
// would be offline meanwhile.
type handover struct {
	n     *node
	keys  ticket.Keys
	nodes atomic.Pointer[[]store.Node] // where clients can be sent
}

// plan is how connections are let go of within a time.
func (h *handover) plan(total time.Duration) hub.Handover {
	share := func(s float64) time.Duration { return time.Duration(s * float64(total)) }
	return hub.Handover{
		Spread: min(share(spreadShare), time.Duration(h.n.hub.Len())*drainPace),
		Within: min(share(withinShare), maxWithin),
		Offer:  h.offer,
	}
}

// follow keeps the list of nodes fresh until ctx ends. Without Redis nobody could be let in anywhere, so then there is
// nowhere to go.
func (h *handover) follow(ctx context.Context) {
	tick := time.NewTicker(targetsMaxAge)
	defer tick.Stop()
	for {
		h.read(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (h *handover) read(ctx context.Context) {
	nodes, err := h.n.store.LiveNodes(ctx)
	if err != nil {
		if ctx.Err() == nil {
			h.n.log.Warn("look for nodes to hand over to", zap.Error(err))
		}
		nodes = nil
	}
	others := make([]store.Node, 0, len(nodes))
	for _, n := range nodes {
		if n.ID != h.n.lease.ID() {
			others = append(others, n)
		}
	}
	h.nodes.Store(&others)
}

// offer is the frame that tells a client where to go; nil when there is no other node.
func (h *handover) offer(c *hub.Conn, within time.Duration) []byte {
	nodes := h.nodes.Load()
	if nodes == nil {
		return nil
	}
	to, ok := store.PickNode(*nodes, h.n.store.Partition(c.ClientID))
	if !ok {
		return nil
	}
	token, err := h.keys.SignSession(ticket.Session{
		ClientID: c.ClientID, Device: c.Device, ConnID: c.ID, Origin: c.Origin, Meta: c.Meta, MayRequest: c.MayRequest,
		Policy: c.Policy, JTI: c.JTI,
	})
	if err != nil { // as its hello had none
		h.n.log.Warn("session token", zap.String("client_id", c.ClientID), zap.Error(err))
		return nil
	}
	h.n.metrics.Offered()
	return protocol.MigrateFrame(ticket.SessionURL(to.URL, token), within)
}
