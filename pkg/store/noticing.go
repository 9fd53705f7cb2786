package store

import (
	"context"

	"github.com/redis/rueidis"
)

// SetNoticing says whether a group wants to be told who enters and who leaves.
func (s *Store) SetNoticing(ctx context.Context, group string, on bool) error {
	key := s.keys.noticing(s.keys.partition(group))
	if !on {
		return wrap("set options of "+group, s.do(ctx, s.client.B().Srem().Key(key).Member(group).Build()).Error())
	}
	for _, r := range s.doMulti(ctx,
		s.client.B().Set().Key(s.keys.anyNoticing()).Value("1").Build(),
		s.client.B().Sadd().Key(key).Member(group).Build(),
	) {
		if err := r.Error(); err != nil {
			return wrap("set options of "+group, err)
		}
	}
	return nil
}

// Noticing reports which groups want to be told, in the order of groups.
func (s *Store) Noticing(ctx context.Context, groups ...string) ([]bool, error) {
	cmds := make([]rueidis.Completed, len(groups))
	for i, group := range groups {
		cmds[i] = s.client.B().Sismember().Key(s.keys.noticing(s.keys.partition(group))).Member(group).Build()
	}
	out := make([]bool, len(groups))
	for i, r := range s.doMulti(ctx, cmds...) {
		n, err := r.AsInt64()
		if err != nil {
			return nil, wrap("read options of "+groups[i], err)
		}
		out[i] = n == 1
	}
	return out, nil
}

// AnyNoticing reports whether there has been a group that wants to be told.
func (s *Store) AnyNoticing(ctx context.Context) (bool, error) {
	n, err := s.do(ctx, s.client.B().Exists().Key(s.keys.anyNoticing()).Build()).AsInt64()
	return n == 1, wrap("read options of groups", err)
}
