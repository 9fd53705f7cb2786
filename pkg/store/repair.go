package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

const (
	// unsyncedFor is how old a mark must be before its membership counts as abandoned: longer than any call of
	// the one who set it takes.
	unsyncedFor = 5 * time.Second
	repairScan  = 500 // marks read at a time
)

// repair finishes membership changes whose authors did not.
func (s *Store) repair(ctx context.Context) error {
	var stale []mark
	err := s.oldMarks(ctx, s.keys.unsynced, unsyncedFor, func(field, _ string) {
		if parts := strings.SplitN(field, "\n", 3); len(parts) == 3 { // clientId, group, token
			stale = append(stale, mark{pair{parts[0], parts[1]}, field})
		}
	})
	if err != nil {
		return wrap("look for unfinished memberships", err)
	}
	pairs := make([]pair, len(stale))
	for i, m := range stale {
		pairs[i] = m.pair
	}
	done, err := s.reconcile(ctx, pairs)
	settled := make(map[pair]bool, len(done))
	for _, c := range done {
		settled[c.pair] = true
	}
	var cmds []rueidis.Completed
	for _, m := range stale {
		if settled[m.pair] {
			key := s.keys.unsynced(s.keys.partition(m.client))
			cmds = append(cmds, s.client.B().Hdel().Key(key).Field(m.field).Build())
		}
	}
	for _, r := range s.doMulti(ctx, cmds...) {
		if err == nil {
			err = wrap("remove the mark of a finished membership", r.Error())
		}
	}
	return err
}

// mark is an entry of unsynced.
type mark struct {
	pair
	field string
}

// oldMarks calls visit with every field of a hash that each partition has, and its value, that is old. Values begin
// with the time they were set at, in Unix ms, and a line feed if more follows.
func (s *Store) oldMarks(ctx context.Context, key func(p int) string, age time.Duration, visit func(field, value string)) error {
	cursors := make(map[int]uint64, s.Partitions())
	for _, p := range s.allPartitions() {
		cursors[p] = 0
	}
	for len(cursors) > 0 {
		if err := s.scanMarks(ctx, key, cursors, age, visit); err != nil {
			return err
		}
	}
	return nil
}

// scanMarks reads a piece of the hash in each partition of cursors, moves the cursors on and drops those at their ends.
func (s *Store) scanMarks(ctx context.Context, key func(p int) string, cursors map[int]uint64, age time.Duration, visit func(field, value string)) error {
	cmds := []rueidis.Completed{s.askTime()}
	var partitions []int
	for p, at := range cursors {
		cmds = append(cmds, s.client.B().Hscan().Key(key(p)).Cursor(at).Count(repairScan).Build())
		partitions = append(partitions, p)
	}
	rs := s.doMulti(ctx, cmds...)
	now, err := redisTime(rs[0])
	if err != nil {
		return err
	}
	before := now.Add(-age).UnixMilli()
	for i, r := range rs[1:] {
		entry, err := r.AsScanEntry()
		if err != nil {
			return err
		}
		for j := 0; j+1 < len(entry.Elements); j += 2 {
			text, _, _ := strings.Cut(entry.Elements[j+1], "\n")
			if set, err := strconv.ParseInt(text, 10, 64); err == nil && set <= before {
				visit(entry.Elements[j], entry.Elements[j+1])
			}
		}
		if cursors[partitions[i]] = entry.Cursor; entry.Cursor == 0 {
			delete(cursors, partitions[i])
		}
	}
	return nil
}
