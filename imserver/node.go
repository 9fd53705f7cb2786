package imserver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/bus"
	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/imserver/internal/metrics"
	"github.com/imtier/imtier/imserver/internal/registry"
	"github.com/imtier/imtier/imserver/internal/server"
	"github.com/imtier/imtier/imserver/internal/tcp"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/ticket"
)

// startTimeout is what an imtier.v1 client has to start; docs/protocol.md promises it.
const startTimeout = 10 * time.Second

// node is everything that exists once Redis has been reached.
type node struct {
	cfg     Config
	log     *zap.Logger
	store   *store.Store
	hub     *hub.Hub
	bus     *bus.Bus
	server  *server.Server
	leaver  *registry.Leaver
	acks    *registry.Acks
	asks    *registry.Requests
	lease   *registry.Lease
	roll    *registry.Roll
	metrics *metrics.Metrics
	drain   chan struct{} // closed when an operator asked to drain
	once    sync.Once
	letting sync.Once // letting go of the connections
	churn   churn

	endLease func() // stops renewing the lease; set while it is renewed
}

// newNode wires a node; nothing runs yet.
func newNode(cfg Config, keys ticket.Keys, st *store.Store, parker *tcp.Parker, log *zap.Logger) *node {
	n := &node{cfg: cfg, log: log, store: st, drain: make(chan struct{})}
	n.leaver = registry.NewLeaver(st, log)
	n.acks = registry.NewAcks(st, log)
	n.asks = registry.NewRequests(st, log)
	n.hub = hub.New(hub.Options{
		Log:    bus.StoredLog{Store: st, Sure: func(ctx context.Context) error { return n.bus.Sure(ctx) }},
		Closed: n.closed,
		Final: func(c *hub.Conn) {
			n.leaver.Add(store.ConnRef{ClientID: c.ClientID, ConnID: c.ID, Final: true})
		},
		Acked: func(c *hub.Conn, pos map[protocol.Stream]protocol.Position) {
			n.acks.Add(c.ClientID, c.Device, pos)
			if c.Awaited() {
				n.acks.Soon()
			}
		},
		Receipts: hub.Receipts{
			Given:  func(c *hub.Conn, pos protocol.Position) { n.acks.Given(c.ClientID, c.Device, pos) },
			Read:   func(c *hub.Conn, ids []string) { n.acks.Read(c.ClientID, c.Device, ids) },
			Missed: func(c *hub.Conn, from, to protocol.Position) { n.acks.Missed(c.ClientID, c.Device, from, to) },
		},
		Requests:     hub.Requests{Ask: n.ask, Answered: func(code string) { n.metrics.Answered(code) }},
		Input:        hub.Input{Frames: cfg.InboundFrames, Bytes: cfg.InboundBytes, MaxMessage: cfg.MaxMessage},
		Limited:      func(l hub.Limit) { n.metrics.Limited(string(l)) },
		Lost:         func() { n.bus.Dropped() },
		Heard:        func(ctx context.Context) error { return n.bus.Heard(ctx) },
		Keeps:        cfg.HistoryTTL,
		PingInterval: cfg.PingInterval,
		PongTimeout:  cfg.PongTimeout,
		StartTimeout: startTimeout,
	})
	n.roll = &registry.Roll{
		Store: st, Log: log, Sessions: n.sessions, Open: n.open, Leave: n.leaver.Add, End: n.end,
		Node: func() string { return n.lease.ID() }, Struck: func(node string) { n.lease.StruckOff(node) },
	}
	n.bus = bus.New(bus.Options{Store: st, Hub: n.hub, Policy: cfg.DevicePolicy, Rate: cfg.ClientRate, Log: log, Compare: n.roll.Compare})
	n.metrics = metrics.New(metrics.Source{
		Stats: n.hub.Stats, Counters: n.hub.Counters(), Channels: n.bus.Channels,
		Malformed: n.bus.Malformed, Leaving: n.leaver.Waiting, Connected: n.bus.Connected,
	})
	n.lease = &registry.Lease{
		Store: st, Log: log, NewID: func() string { return incarnation(cfg.NodeID) }, Node: store.Node{Started: time.Now()},
		Count: n.hub.Len, Restore: n.roll.Restore, Compare: n.roll.CompareAll, Drain: n.askDrain,
	}
	n.lease.Rename()
	n.server = server.New(server.Options{
		Keys: keys, Admitter: n, Ready: n.ready, Partition: st.Partition,
		Opened: n.opened, Refused: n.metrics.Refused, Limited: n.metrics.Limited, Proxies: cfg.TrustedProxies, AddrRate: cfg.AddrRate,
		Node: n.lease.ID, Origins: cfg.AllowedOrigins,
		MaxConns: cfg.maxConns(), MaxMessage: cfg.MaxMessage, OutboxCap: cfg.OutboxSize, Ping: cfg.PingInterval,
		Parker: parker, Log: log,
	})
	return n
}

// ask is told by the hub of every request that a client may send.
func (n *node) ask(c *hub.Conn, id string, data json.RawMessage) bool {
	r := store.Request{
		ID: id, ClientID: c.ClientID, Device: c.Device, ConnID: c.ID, Origin: c.Origin, Node: n.lease.ID(), Meta: c.Meta, Data: data,
	}
	return n.asks.Add(r, func(code string) { c.Refuse(id, code) })
}

// Admit implements server.Admitter.
func (n *node) Admit(ctx context.Context, se store.Session) (*hub.Conn, error) {
	c, err := n.bus.Admit(ctx, se)
	if errors.Is(err, store.ErrStruckOff) {
		n.lease.StruckOff(se.Node)
	}
	return c, err
}

// opened is told by the server of every connection that was let in.
func (n *node) opened() {
	n.metrics.Opened()
	n.churn.n.Add(1)
}

// closed is told by the hub of every connection that ended.
func (n *node) closed(c *hub.Conn, r protocol.Reason) {
	// A raw connection has no session, and whoever is told to stay away loses it.
	final := !c.V1 || r.Code() >= protocol.FirstFinalCode
	opened := c.Ready()
	n.leaver.Add(store.ConnRef{ClientID: c.ClientID, ConnID: c.ID, Final: final, Unsure: n.roll.Unsure(c.ID) || !opened && c.Unsure})
	if opened {
		n.server.Left()
		n.metrics.Closed(r)
		n.churn.n.Add(1)
	}
	n.log.Debug("closed", zap.String("client_id", c.ClientID), zap.String("conn_id", c.ID), zap.Stringer("reason", r))
}

// sessions lists the connections as they are registered: all of them, or only those that are admitted. One that has ended
// may linger until its peer has answered, and has been signed off already if it was told to stay away.
func (n *node) sessions(admitted bool) []store.Session {
	conns := n.hub.Conns()
	out := make([]store.Session, 0, len(conns))
	for _, c := range conns {
		if c.Over() || admitted && !c.Ready() {
			continue
		}
		policy := cmp.Or(store.DevicePolicy(c.Policy), n.cfg.DevicePolicy)
		out = append(out, store.Session{
			ClientID: c.ClientID, ConnID: c.ID, Node: n.lease.ID(), Device: c.Device, IP: c.IP,
			Since: time.UnixMilli(c.Since), Meta: c.Meta, JTI: c.JTI, Policy: policy, Positions: c.V1,
		})
	}
	return out
}

// open tells whether a connection is here and has not ended.
func (n *node) open(ref store.ConnRef) bool {
	return slices.ContainsFunc(n.hub.ConnsOf(ref.ClientID), func(c *hub.Conn) bool { return c.ID == ref.ConnID && !c.Over() })
}

// end closes a connection that Redis says must not be open.
func (n *node) end(e store.Ended) {
	r, ok := protocol.ReasonOf(e.Code)
	if !ok {
		r = protocol.ReasonForcedOffline
	}
	for _, c := range n.hub.ConnsOf(e.ClientID) {
		if c.ID == e.ConnID {
			c.EndBy(r, e.By)
		}
	}
}

func (n *node) askDrain() { n.once.Do(func() { close(n.drain) }) }

var (
	errNoSubscription = errors.New("not subscribed: the connection to redis is broken")
	errDraining       = errors.New("draining")
)

// ready says why this node should not be offered to clients.
func (n *node) ready() error {
	switch {
	case n.server.Draining():
		return errDraining
	case !n.bus.Connected():
		return errNoSubscription
	}
	return n.lease.Ready()
}

// start runs what works in the background until ctx ends.
func (n *node) start(ctx context.Context, wg *sync.WaitGroup, failed func(error)) {
	wg.Go(func() { n.hub.Run(ctx) })
	wg.Go(func() { failed(n.bus.Run(ctx)) })
	wg.Go(func() { n.leaver.Run(ctx) })
	wg.Go(func() { n.acks.Run(ctx) })
	wg.Go(func() { n.asks.Run(ctx) })
	wg.Go(func() { n.churn.run(ctx) })
	wg.Go(func() {
		failed(n.store.RunJanitor(ctx, n.lease.ID(), func(err error) { n.log.Warn("sweep", zap.Error(err)) }))
	})
}

// enter follows the broadcasts and takes the lease: from now on clients are sent here.
func (n *node) enter(ctx context.Context) error {
	if err := n.bus.Begin(ctx); err != nil {
		return fmt.Errorf("follow broadcasts: %w", err)
	}
	if err := n.lease.Register(ctx); err != nil {
		return fmt.Errorf("register the node: %w", err)
	}
	return nil
}

// publicURL is what clients dial: what was set, or the address of the listener. With a listener on all interfaces nothing says
// by which name clients elsewhere know this host; then it is one for clients on this host, and hereOnly.
func publicURL(set, addr string) (url string, hereOnly bool) {
	if set != "" {
		return set, false
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "ws://" + addr + "/ws", false
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host, hereOnly = "127.0.0.1", true
	}
	return "ws://" + net.JoinHostPort(host, port) + "/ws", hereOnly
}
