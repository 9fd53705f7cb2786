package store

import (
	"context"

	"github.com/redis/rueidis"
)

// Totals counts clients online (those in their grace included) and groups that have members. It asks every
// partition for two lengths, in one pipeline, however many there are.
func (s *Store) Totals(ctx context.Context) (clients, groups int, err error) {
	cmds := make([]rueidis.Completed, 0, 2*s.Partitions())
	for p := range s.Partitions() {
		cmds = append(cmds,
			s.client.B().Zcard().Key(s.keys.online(p)).Build(),
			s.client.B().Zcard().Key(s.keys.grouplist(p)).Build())
	}
	for i, r := range s.doMulti(ctx, cmds...) {
		n, err := r.AsInt64()
		if err != nil {
			return 0, 0, wrap("count clients and groups", err)
		}
		if i%2 == 0 {
			clients += int(n)
		} else {
			groups += int(n)
		}
	}
	return clients, groups, nil
}
