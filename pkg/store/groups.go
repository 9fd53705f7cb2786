package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

//go:embed lua/indexed.lua
var indexedLua string

var indexedScript = newScript("indexed", indexedLua)

// Join makes clients members of a group and returns how many were not before. When it returns nil, every message
// published to the group from then on is for them, and the nodes that hold them have been told. Joining without
// UntilOffline makes a membership that would have ended with the client's being online a lasting one, never the
// other way round; where a membership starts is decided when it begins.
func (s *Store) Join(ctx context.Context, group string, ids []string, o JoinOptions) (added int, err error) {
	return s.change(ctx, opJoin, o.truth(), clientsOf(group, ids))
}

// JoinGroups is Join of one client to many groups.
func (s *Store) JoinGroups(ctx context.Context, id string, groups []string, o JoinOptions) (added int, err error) {
	return s.change(ctx, opJoin, o.truth(), groupsOf(id, groups))
}

// Leave ends memberships of a group and returns how many there were.
func (s *Store) Leave(ctx context.Context, group string, ids []string) (removed int, err error) {
	return s.change(ctx, opLeave, "", clientsOf(group, ids))
}

// LeaveGroups is Leave of one client from many groups.
func (s *Store) LeaveGroups(ctx context.Context, id string, groups []string) (removed int, err error) {
	return s.change(ctx, opLeave, "", groupsOf(id, groups))
}

func clientsOf(group string, ids []string) []pair {
	pairs := make([]pair, len(ids))
	for i, id := range ids {
		pairs[i] = pair{id, group}
	}
	return pairs
}

func groupsOf(id string, groups []string) []pair {
	pairs := make([]pair, len(groups))
	for i, group := range groups {
		pairs[i] = pair{id, group}
	}
	return pairs
}

// Dissolve ends all memberships of a group and deletes its history and options. A client that joins meanwhile may stay.
func (s *Store) Dissolve(ctx context.Context, group string) error {
	for {
		ids, err := s.lexRange(ctx, s.keys.members(group), "", scriptBatch)
		if err != nil {
			return wrap("dissolve "+group, err)
		}
		if len(ids) == 0 {
			break
		}
		if _, err := s.Leave(ctx, group, ids); err != nil {
			return fmt.Errorf("dissolve %s: %w", group, err)
		}
	}
	if err := s.SetNoticing(ctx, group, false); err != nil {
		return err
	}
	key := s.keys.stream(protocol.GroupOf(group))
	return wrap("dissolve "+group, s.do(ctx, s.client.B().Del().Key(key).Build()).Error())
}

// GroupsOf lists a client's memberships, sorted by group.
func (s *Store) GroupsOf(ctx context.Context, id string) ([]Membership, error) {
	truth, err := s.do(ctx, s.client.B().Hgetall().Key(s.keys.groups(id)).Build()).AsStrMap()
	if err != nil {
		return nil, wrap("groups of "+id, err)
	}
	return memberships(truth), nil
}

// GroupsOfEach is GroupsOf of many clients, in their order, pipelineLen of them in one round trip.
func (s *Store) GroupsOfEach(ctx context.Context, ids []string) ([][]Membership, error) {
	out := make([][]Membership, 0, len(ids))
	for part := range slices.Chunk(ids, pipelineLen) {
		cmds := make([]rueidis.Completed, len(part))
		for i, id := range part {
			cmds[i] = s.client.B().Hgetall().Key(s.keys.groups(id)).Build()
		}
		for i, r := range s.doMulti(ctx, cmds...) {
			truth, err := r.AsStrMap()
			if err != nil {
				return nil, wrap("groups of "+part[i], err)
			}
			out = append(out, memberships(truth))
		}
	}
	return out, nil
}

// SyncGroups looks where the streams of a connecting client's groups end, for the caller to follow them from there. Memberships that
// are not Synced, such as those that came with the URL, and those that the groups' indexes do not know, are completed on the way. A
// group that the client has left meanwhile is absent from the answer.
//
// Call it after subscribing to the groups' channels: what is published later then comes through those.
func (s *Store) SyncGroups(ctx context.Context, clientID string, groups []Membership) (map[string]protocol.Position, error) {
	var names []string // of those to be looked for in the index
	var calls []call
	var missing []pair
	for _, m := range groups {
		if !m.Synced { // whatever the index says: it may be of a membership that was lost with the truth
			missing = append(missing, pair{clientID, m.Group})
			continue
		}
		st := protocol.GroupOf(m.Group)
		keys := []string{s.keys.members(m.Group), s.keys.stream(st), s.keys.epoch(s.keys.partitionOf(st))}
		names, calls = append(names, m.Group), append(calls, call{keys, []string{clientID}})
	}
	action := "sync groups of " + clientID
	replies, err := s.runChunks(ctx, indexedScript, calls, action)
	if err != nil {
		return nil, err
	}
	out := make(map[string]protocol.Position, len(groups))
	for i, m := range replies {
		has, tail, err := indexed(m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", action, err)
		}
		if has {
			out[names[i]] = tail
		} else {
			missing = append(missing, pair{clientID, names[i]})
		}
	}
	done, err := s.reconcile(ctx, missing)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	for _, c := range done {
		if c.member {
			out[c.group] = c.pos
		}
	}
	return out, nil
}

// indexed reads what indexed.lua returns.
func indexed(m *rueidis.RedisMessage) (has bool, tail protocol.Position, err error) {
	parts, err := m.ToArray()
	if err != nil || len(parts) != 2 {
		return false, tail, errors.Join(err, errors.New("indexed.lua returned something else"))
	}
	n, err := parts[0].AsInt64()
	if err != nil {
		return false, tail, err
	}
	tail, err = position(&parts[1])
	return n == 1, tail, err
}

// reconcile brings the indexes of memberships in line with their truth, whatever that is.
func (s *Store) reconcile(ctx context.Context, pairs []pair) ([]change, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	token := newToken()
	todo, _, err := s.writeTruth(ctx, opClaim, "", token, pairs)
	done, err2 := s.settle(ctx, token, todo)
	return done, errors.Join(err, err2)
}
