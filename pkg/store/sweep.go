package store

import (
	"context"
	_ "embed"
	"errors"
	"strconv"

	"github.com/redis/rueidis"
)

//go:embed lua/sweep.lua
var sweepLua string

//go:embed lua/reap.lua
var reapLua string

// reapedLua defines what the mark of a connection that can be resumed holds when its node is thought dead: it may come back
// with the connection. That of others holds 1.
const reapedLua = "local REAPED = 'reaped'\n"

var (
	sweepScript = newRoamingScript("sweep", preludeLua+sweepLua)
	reapScript  = newRoamingScript("reap", preludeLua+reapedLua+reapLua)
)

const (
	sweepBatch = 100 // clients per run of sweep.lua; each may bring several events
	reapBatch  = 200 // connections per run of reap.lua
)

// sweep turns all clients whose grace is over offline, in every partition, and ends their memberships that last until
// then.
func (s *Store) sweep(ctx context.Context) error {
	todo, errs := s.leaving(ctx)
	for len(todo) > 0 {
		calls := make([]call, len(todo))
		for i, p := range todo {
			calls[i] = s.sweepCall(p)
		}
		replies, err := s.runChunks(ctx, sweepScript, calls, "sweep")
		errs = errors.Join(errs, err)
		var more []int
		var ended []pair
		for i, m := range replies {
			n, pairs, err := swept(m)
			errs = errors.Join(errs, err)
			ended = append(ended, pairs...)
			if n == sweepBatch {
				more = append(more, todo[i])
			}
		}
		if _, err := s.reconcile(ctx, ended); err != nil {
			errs = errors.Join(errs, err)
		}
		if errs != nil {
			return errs
		}
		todo = more
	}
	return nil
}

// leaving returns the partitions in which somebody is in the grace: in most rounds few, and asking is cheaper than a
// script.
func (s *Store) leaving(ctx context.Context) ([]int, error) {
	cmds := make([]rueidis.Completed, s.Partitions())
	for p := range cmds {
		cmds[p] = s.client.B().Zcard().Key(s.keys.leaving(p)).Build()
	}
	var out []int
	var errs error
	for p, r := range s.doMulti(ctx, cmds...) {
		n, err := r.AsInt64()
		if err != nil && errs == nil {
			errs = wrap("look for leaving clients", err)
		}
		if n > 0 {
			out = append(out, p)
		}
	}
	return out, errs
}

func (s *Store) allPartitions() []int {
	out := make([]int, s.Partitions())
	for p := range out {
		out[p] = p
	}
	return out
}

func (s *Store) sweepCall(p int) call {
	k := s.keys
	return call{
		keys: []string{k.leaving(p), k.last(p), k.online(p), k.events(p), k.unsynced(p), k.left(p)},
		args: []string{strconv.Itoa(sweepBatch), k.connsPrefix(p), k.groupsPrefix(p), k.seenPrefix(p),
			seconds(rememberFor), k.eventChannel(), strconv.Itoa(p), s.eventsSize},
	}
}

// swept reads what sweep.lua returns: a number, then clients with the groups that they left.
func swept(m *rueidis.RedisMessage) (n int64, ended []pair, err error) {
	n, texts, err := numberAndPairs(m)
	for _, t := range texts {
		ended = append(ended, pair{t[0], t[1]})
	}
	return n, ended, err
}

// reap takes the connections of dead nodes off the register, of those that have not come back. All are claimed first, for
// the rest may take a while.
func (s *Store) reap(ctx context.Context, dead []string) error {
	claimed, err := s.claim(ctx, dead)
	if err != nil {
		return err
	}
	for _, node := range claimed {
		if err := s.reapNode(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// claim claims nodes for being struck off, and returns those that had no lease again.
func (s *Store) claim(ctx context.Context, nodes []string) (claimed []string, err error) {
	calls := make([]call, len(nodes))
	for i, node := range nodes {
		calls[i] = call{[]string{s.keys.node(node), s.keys.claimed(node)}, []string{seconds(endedFor)}}
	}
	for i, r := range s.runMany(ctx, claimScript, calls) {
		is, err := r.AsInt64()
		if err != nil {
			return nil, wrap("claim node "+nodes[i], err)
		}
		if is == 1 {
			claimed = append(claimed, nodes[i])
		}
	}
	return claimed, nil
}

// deadNodes are those in the registry whose lease is over.
func (s *Store) deadNodes(ctx context.Context) ([]string, error) {
	ids, err := s.nodeIDs(ctx)
	if err != nil {
		return nil, wrap("look for dead nodes", err)
	}
	cmds := make([]rueidis.Completed, len(ids))
	for i, id := range ids {
		cmds[i] = s.client.B().Exists().Key(s.keys.node(id)).Build()
	}
	var dead []string
	for i, r := range s.doMulti(ctx, cmds...) {
		leased, err := r.AsInt64()
		if err != nil {
			return nil, wrap("look for dead nodes", err)
		}
		if leased == 0 {
			dead = append(dead, ids[i])
		}
	}
	return dead, nil
}

// reapNode empties the lists of a node that is claimed in all partitions, then strikes it off. A claim may be lost, by a
// failover: then it ends, and the node is dead or not when it is looked for the next time.
func (s *Store) reapNode(ctx context.Context, node string) error {
	todo := s.allPartitions()
	for len(todo) > 0 {
		claimed, err := s.do(ctx, s.client.B().Exists().Key(s.keys.claimed(node)).Build()).AsInt64()
		if err != nil || claimed == 0 {
			return wrap("reap node "+node, err)
		}
		calls := make([]call, len(todo))
		for i, p := range todo {
			calls[i] = call{
				keys: []string{s.keys.leaving(p), s.keys.last(p), s.keys.nodeConns(p, node), s.keys.struck(p, node)},
				args: []string{node, s.keys.connsPrefix(p), strconv.Itoa(reapBatch), s.keys.resumePrefix(p), seconds(sessionTTL),
					s.keys.endedPrefix(p), seconds(endedFor)},
			}
		}
		replies, err := s.runChunks(ctx, reapScript, calls, "reap node "+node)
		if err != nil {
			return err
		}
		var more []int
		for i, m := range replies {
			left, err := m.AsInt64()
			if err != nil {
				return wrap("reap node "+node, err)
			}
			if left > 0 {
				more = append(more, todo[i])
			}
		}
		todo = more
	}
	return wrap("reap node "+node, s.do(ctx, s.client.B().Srem().Key(s.keys.nodes()).Member(node).Build()).Error())
}
