package store

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

//go:embed lua/renew.lua
var renewLua string

//go:embed lua/claim.lua
var claimLua string

//go:embed lua/drain.lua
var drainLua string

var (
	renewScript = newScript("renew", preludeLua+renewLua)
	claimScript = newScript("claim", claimLua)
	drainScript = newScript("drain", drainLua)
)

const (
	// leaseTTL is how long a node that renews no more keeps its connections registered. Together with a janitor's
	// round it must stay below the 20 s in which presence has to be true again after a crash.
	leaseTTL = 15 * time.Second
	// liveWithin is how recently a node must have renewed to be offered to clients; it renews every 500 ms.
	liveWithin = 3 * time.Second
)

// ErrNoNode means that no such node is registered.
var ErrNoNode = errors.New("no such node")

// Node is an imserver in the registry. Its ID includes an incarnation: a process never uses an ID again, neither after
// a restart nor after it was claimed, because whoever clears up after the old one does so by its ID.
type Node struct {
	ID       string // without braces, which would part the lease from the claim in a Cluster
	URL      string // where clients dial it
	Started  time.Time
	Renewed  time.Time // by Redis's clock; set by the store
	Conns    int
	Draining bool // it takes no new clients, or has been asked not to
}

// RenewState is what a node learns from renewing its lease.
type RenewState struct {
	// Claimed: the lease ran out, and others are signing its connections off, or have. It has no lease; register under a new
	// ID and restore the connections.
	Claimed bool
	// Taken is when the lease was taken, by Redis' clock. Another time than before means that it ran out, or that Redis lost it,
	// and what Redis knows of the node may be old: compare the connections.
	Taken time.Time
	Drain bool // somebody asked it to drain
}

// RenewNode takes a node's lease, which lasts 15 s, or renews it. Call it every 500 ms: see silentAfter.
func (s *Store) RenewNode(ctx context.Context, n Node) (RenewState, error) {
	args := []string{millis(leaseTTL), n.URL, strconv.FormatInt(n.Started.UnixMilli(), 10),
		strconv.Itoa(n.Conns), bit(n.Draining)}
	// The registry's entry comes after the lease, so that no janitor finds the name without one; each time, so that a
	// registry that was lost fills again. In a Cluster they are in different slots.
	keys := []string{s.keys.node(n.ID), s.keys.claimed(n.ID)}
	if !s.cluster {
		keys, args = append(keys, s.keys.nodes()), append(args, n.ID)
	}
	state, err := s.run(ctx, renewScript, keys, args).AsIntSlice()
	if err != nil {
		return RenewState{}, wrap("renew node "+n.ID, err)
	}
	if len(state) == 0 {
		return RenewState{Claimed: true}, nil
	}
	if s.cluster {
		err = s.do(ctx, s.client.B().Sadd().Key(s.keys.nodes()).Member(n.ID).Build()).Error()
	}
	return RenewState{Taken: time.UnixMilli(state[0]), Drain: state[1] == 1}, wrap("renew node "+n.ID, err)
}

// RemoveNode ends a node's lease for good, when it stops in order. Connections it still has registered are reaped by a
// janitor.
func (s *Store) RemoveNode(ctx context.Context, id string) error {
	for _, r := range s.doMulti(ctx,
		s.client.B().Set().Key(s.keys.claimed(id)).Value("1").Ex(endedFor).Build(), // first: or a late renewal would take it again
		s.client.B().Del().Key(s.keys.node(id)).Build(),
	) {
		if err := r.Error(); err != nil {
			return wrap("remove node "+id, err)
		}
	}
	return nil
}

// DrainNode asks a node to hand its connections over; it learns so with its next renewal. ErrNoNode if there is none.
func (s *Store) DrainNode(ctx context.Context, id string) error {
	found, err := s.run(ctx, drainScript, []string{s.keys.node(id)}, nil).AsInt64()
	if err == nil && found == 0 {
		err = ErrNoNode
	}
	return wrap("drain node "+id, err)
}

// Nodes lists the nodes that have a lease, sorted by ID.
func (s *Store) Nodes(ctx context.Context) ([]Node, error) {
	nodes, _, err := s.readNodes(ctx)
	return nodes, err
}

// LiveNodes lists the nodes that clients can be sent to: renewed within 3 s and not draining.
func (s *Store) LiveNodes(ctx context.Context) ([]Node, error) {
	nodes, now, err := s.readNodes(ctx)
	return slices.DeleteFunc(nodes, func(n Node) bool {
		return n.Draining || now.Sub(n.Renewed) > liveWithin
	}), err
}

// PickNode chooses the node for the clients of a partition by rendezvous hashing; ok is false when there is none. Everybody
// who sends clients somewhere chooses by it, so that a node needs few partitions.
func PickNode(nodes []Node, partition int) (best Node, ok bool) {
	var top uint64
	for _, n := range nodes {
		w := protocol.Rank(n.ID, partition)
		if !ok || w > top || w == top && n.ID < best.ID {
			best, top, ok = n, w, true
		}
	}
	return best, ok
}

func (s *Store) nodeIDs(ctx context.Context) ([]string, error) {
	return s.do(ctx, s.client.B().Smembers().Key(s.keys.nodes()).Build()).AsStrSlice()
}

// readNodes returns the nodes and Redis's clock, by which they renewed.
func (s *Store) readNodes(ctx context.Context) ([]Node, time.Time, error) {
	ids, err := s.nodeIDs(ctx)
	if err != nil {
		return nil, time.Time{}, wrap("list nodes", err)
	}
	cmds := make([]rueidis.Completed, 0, 1+len(ids))
	cmds = append(cmds, s.askTime())
	for _, id := range ids {
		cmds = append(cmds, s.client.B().Hgetall().Key(s.keys.node(id)).Build())
	}
	rs := s.doMulti(ctx, cmds...)
	now, err := redisTime(rs[0])
	if err != nil {
		return nil, now, wrap("list nodes", err)
	}
	var nodes []Node
	for i, r := range rs[1:] {
		fields, err := r.AsStrMap()
		if err != nil {
			return nil, now, wrap("list nodes", err)
		}
		if len(fields) > 0 { // else its lease is over
			nodes = append(nodes, nodeOf(ids[i], fields))
		}
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return nodes, now, nil
}

// nodeOf reads a lease; renew.lua wrote every field.
func nodeOf(id string, f map[string]string) Node {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(f[name], 10, 64)
		return n
	}
	return Node{
		ID:       id,
		URL:      f["url"],
		Started:  time.UnixMilli(number("started")),
		Renewed:  time.UnixMilli(number("renewed")),
		Conns:    int(number("conns")),
		Draining: f["draining"] == "1" || f["drain"] == "1",
	}
}

// askTime asks for Redis' clock: in a Cluster for that of the server with what belongs to no partition, since a command must be
// for some slot to go along with others.
func (s *Store) askTime() rueidis.Completed {
	cmd := s.client.B().Time().Build()
	if s.cluster {
		cmd = cmd.SetSlot(s.keys.config())
	}
	return cmd
}

// redisTime reads the answer to TIME.
func redisTime(r rueidis.RedisResult) (time.Time, error) {
	parts, err := r.AsIntSlice()
	if err != nil {
		return time.Time{}, err
	}
	if len(parts) != 2 {
		return time.Time{}, errors.New("TIME returned something else")
	}
	return time.Unix(parts[0], parts[1]*1000), nil
}
