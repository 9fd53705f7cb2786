package imhelper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/imtier/imtier/pkg/store"
)

const (
	// nodesMaxAge is how old the list of nodes may be when a URL is made. A node that died is offered for the 3 s
	// that its lease counts as fresh, and this much longer.
	nodesMaxAge = 500 * time.Millisecond
	// nodesTimeout bounds reading the list, which many callers may wait for.
	nodesTimeout = 3 * time.Second
)

// Node is an imserver that is registered.
type Node struct {
	ID          string    `json:"id"`
	URL         string    `json:"url"` // that clients dial
	Started     time.Time `json:"started"`
	Renewed     time.Time `json:"renewed"` // when it last renewed its lease; it does so every half a second
	Connections int       `json:"connections"`
	Draining    bool      `json:"draining"` // takes no new clients
}

// Nodes lists the registered imservers, also those that drain and those that stopped renewing a moment ago.
func (h *Helper) Nodes(ctx context.Context) ([]Node, error) {
	nodes, err := h.store.Nodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	out := make([]Node, len(nodes))
	for i, n := range nodes {
		out[i] = Node{ID: n.ID, URL: n.URL, Started: n.Started, Renewed: n.Renewed, Connections: n.Conns, Draining: n.Draining}
	}
	return out, nil
}

// Drain asks a node to take no new clients and to hand over the connections that it has, spread over its drain time: clients
// that speak imtier.v1 are told to go to another node, the rest is closed with 4000. When it returns the order is recorded; the
// node follows within about a second. ErrNotFound when no such node is registered.
func (h *Helper) Drain(ctx context.Context, node string) error {
	err := h.store.DrainNode(ctx, node)
	if errors.Is(err, store.ErrNoNode) {
		return fmt.Errorf("drain node: %w: no node %.80q is registered", ErrNotFound, node)
	}
	if err != nil {
		return fmt.Errorf("drain node: %w", err)
	}
	h.nodes.forget()
	return nil
}

// nodeCache keeps the list of live nodes for nodesMaxAge. Callers that come while it is being read wait for that
// one reading instead of starting their own.
type nodeCache struct {
	fetch func(context.Context) ([]store.Node, error) // fixed

	mu    sync.Mutex
	nodes []store.Node
	until time.Time // nodes may be used before
	call  *nodeCall // reading under way, or nil
}

type nodeCall struct {
	done  chan struct{} // closed when the rest is set
	nodes []store.Node
	err   error
}

func (c *nodeCache) live(ctx context.Context) ([]store.Node, error) {
	c.mu.Lock()
	if time.Now().Before(c.until) {
		defer c.mu.Unlock()
		return c.nodes, nil
	}
	call := c.call
	if call != nil {
		c.mu.Unlock()
		select {
		case <-call.done:
			return call.nodes, call.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	call = &nodeCall{done: make(chan struct{})}
	c.call = call
	c.mu.Unlock()
	c.read(ctx, call)
	return call.nodes, call.err
}

// errNodesUnread is what callers get if the reading one panics.
var errNodesUnread = errors.New("the list of nodes was not read")

// read fills call and, on success, the cache. It does not end with the first caller's context: others wait too.
func (c *nodeCache) read(ctx context.Context, call *nodeCall) {
	call.err = errNodesUnread
	defer func() {
		c.mu.Lock()
		c.call = nil
		if call.err == nil {
			c.nodes, c.until = call.nodes, time.Now().Add(nodesMaxAge)
		}
		c.mu.Unlock()
		close(call.done)
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), nodesTimeout)
	defer cancel()
	call.nodes, call.err = c.fetch(ctx)
}

// forget makes the next caller read the list.
func (c *nodeCache) forget() {
	c.mu.Lock()
	c.until = time.Time{}
	c.mu.Unlock()
}
