package store

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	// silentAfter is the age of a node's last renewal at which it is suspected: it renews every 500 ms, so two are missing.
	silentAfter = time.Second
	// silentStill is for how long a suspect has to go on being silent, while Redis answers, until it is taken for dead by
	// those who count. It is longer than a node needs for its next renewal, so that a Redis that stood still for a moment
	// makes nobody seem dead. Both together, and the time to count, stay below 2 s.
	silentStill = 550 * time.Millisecond
)

// suspects are the nodes that were found silent, to be looked at again.
type suspects struct {
	mu    sync.Mutex
	since map[string]sighting // by node
}

// sighting is when a node was first seen with a renewal that was too old.
type sighting struct {
	renewed int64 // Unix ms by Redis' clock; 0 when there was no lease
	at      time.Time
}

// silentNodes returns the nodes that are probably dead although their connections are still registered: for counts that
// are to be right before the lease is over. When it suspects one for the first time it waits silentStill and looks again.
func (s *Store) silentNodes(ctx context.Context) (map[string]bool, error) {
	for again := false; ; again = true {
		ids, err := s.nodeIDs(ctx)
		if err != nil {
			return nil, wrap("look for silent nodes", err)
		}
		last, now, err := s.lastRenewals(ctx, ids)
		if err != nil {
			return nil, wrap("look for silent nodes", err)
		}
		silent, wait := s.suspects.look(last, now)
		if wait == 0 || again {
			return silent, nil
		}
		if !pause(ctx, wait) {
			return nil, wrap("look for silent nodes", ctx.Err())
		}
	}
}

// lastRenewals tells when nodes renewed, 0 for those without a lease, and Redis' time, all in Unix ms.
func (s *Store) lastRenewals(ctx context.Context, ids []string) (last map[string]int64, now int64, err error) {
	cmds := make([]rueidis.Completed, 0, len(ids)+1)
	for _, id := range ids {
		cmds = append(cmds, s.client.B().Hget().Key(s.keys.node(id)).Field("renewed").Build())
	}
	rs := s.doMulti(ctx, append(cmds, s.askTime())...)
	clock, err := redisTime(rs[len(ids)])
	if err != nil {
		return nil, 0, err
	}
	last = make(map[string]int64, len(ids))
	for i, id := range ids {
		ms, err := rs[i].AsInt64()
		if err != nil && !rueidis.IsRedisNil(err) {
			return nil, 0, err
		}
		last[id] = ms
	}
	return last, clock.UnixMilli(), nil
}

// look notes who is suspected, and returns those who have been for long enough. If there are others it says after which
// time to look again.
func (q *suspects) look(last map[string]int64, now int64) (silent map[string]bool, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	since := make(map[string]sighting)
	for id, renewed := range last {
		if now-renewed < silentAfter.Milliseconds() {
			continue
		}
		seen, ok := q.since[id]
		if !ok || seen.renewed != renewed && renewed != 0 { // a lease that runs out is no sign of life
			seen = sighting{renewed, time.Now()}
		}
		since[id] = seen
		if left := silentStill - time.Since(seen.at); left > 0 {
			wait = max(wait, left)
			continue
		}
		if silent == nil {
			silent = make(map[string]bool)
		}
		silent[id] = true
	}
	q.since = since
	return silent, wait
}

// present is Online without those whose connections are all on nodes that are probably dead.
func (s *Store) present(ctx context.Context, ids []string, on onSilent) (map[string]bool, error) {
	online, err := s.Online(ctx, ids)
	if err != nil || len(on.clients) == 0 {
		return online, err
	}
	var doubtful []string
	for id, is := range online {
		if is && on.clients[id] {
			doubtful = append(doubtful, id)
		}
	}
	cmds := make([]rueidis.Completed, len(doubtful))
	for i, id := range doubtful {
		cmds[i] = s.client.B().Hvals().Key(s.keys.conns(id)).Build()
	}
	for i, r := range s.doMulti(ctx, cmds...) {
		conns, err := r.AsStrSlice()
		if err != nil {
			return nil, wrap("look where clients are connected", err)
		}
		online[doubtful[i]] = !on.all(conns)
	}
	return online, nil
}

// onSilent are the nodes that are probably dead, and who is connected to them.
type onSilent struct{ nodes, clients map[string]bool }

// onSilentNodes looks who is connected to nodes that are probably dead. Nearly always there is none, and then it is two
// round trips.
func (s *Store) onSilentNodes(ctx context.Context) (onSilent, error) {
	nodes, err := s.silentNodes(ctx)
	if err != nil || len(nodes) == 0 {
		return onSilent{}, err
	}
	on := onSilent{nodes, make(map[string]bool)}
	var cmds []rueidis.Completed
	for node := range nodes {
		for p := range s.Partitions() {
			cmds = append(cmds, s.client.B().Hvals().Key(s.keys.nodeConns(p, node)).Build())
		}
	}
	for _, r := range s.doMulti(ctx, cmds...) {
		clients, err := r.AsStrSlice()
		if err != nil {
			return onSilent{}, wrap("look who is on silent nodes", err)
		}
		for _, id := range clients {
			on.clients[id] = true
		}
	}
	return on, nil
}

// all reports whether connections, as they are stored, are all on those nodes. A client without any is in its grace.
func (on onSilent) all(conns []string) bool {
	for _, text := range conns {
		var r record
		if err := json.Unmarshal([]byte(text), &r); err != nil || !on.nodes[r.Node] {
			return false
		}
	}
	return len(conns) > 0
}
