package store

import (
	"context"
	_ "embed"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

//go:embed lua/kick.lua
var kickLua string

var kickScript = newRoamingScript("kick", preludeLua+kickLua)

// Kick orders the nodes to close connections of a client with a close code: all of them, or those of a device, or
// one. It returns how many registered connections match; with none, nothing is ordered. They count as connected until
// their nodes have closed them.
func (s *Store) Kick(ctx context.Context, clientID, device, connID string, code int) (n int, err error) {
	args := []string{clientID, connID, device, strconv.Itoa(code), s.keys.clientChannel(s.keys.partition(clientID))}
	closed, err := s.run(ctx, kickScript, []string{s.keys.conns(clientID)}, args).AsInt64()
	return int(closed), wrap("close connections of "+clientID, err)
}

// KickConn orders the node that holds a connection to close it; false means that there is no such connection.
func (s *Store) KickConn(ctx context.Context, connID string, code int) (bool, error) {
	p, ok := protocol.ConnPartition(connID)
	if !ok || p >= s.Partitions() {
		return false, nil
	}
	nodes, err := s.nodeIDs(ctx)
	if err != nil {
		return false, wrap("close connection "+connID, err)
	}
	cmds := make([]rueidis.Completed, len(nodes))
	for i, node := range nodes {
		cmds[i] = s.client.B().Hget().Key(s.keys.nodeConns(p, node)).Field(connID).Build()
	}
	for _, r := range s.doMulti(ctx, cmds...) {
		clientID, err := r.ToString()
		switch {
		case rueidis.IsRedisNil(err):
			continue
		case err != nil:
			return false, wrap("close connection "+connID, err)
		}
		n, err := s.Kick(ctx, clientID, "", connID, code)
		return n > 0, err
	}
	return false, nil
}
