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
	cursors := make(map[int]uint64, s.Partitions())
	for _, p := range s.allPartitions() {
		cursors[p] = 0
	}
	for len(cursors) > 0 {
		found, err := s.scanMarks(ctx, cursors)
		if err != nil {
			return wrap("look for unfinished memberships", err)
		}
		stale = append(stale, found...)
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

// scanMarks reads a piece of unsynced in each partition of cursors, moves the cursors on, drops those at their ends,
// and returns the marks that are old.
func (s *Store) scanMarks(ctx context.Context, cursors map[int]uint64) ([]mark, error) {
	cmds := []rueidis.Completed{s.client.B().Time().Build()}
	var partitions []int
	for p, at := range cursors {
		cmds = append(cmds, s.client.B().Hscan().Key(s.keys.unsynced(p)).Cursor(at).Count(repairScan).Build())
		partitions = append(partitions, p)
	}
	rs := s.doMulti(ctx, cmds...)
	now, err := redisTime(rs[0])
	if err != nil {
		return nil, err
	}
	before := now.Add(-unsyncedFor).UnixMilli()
	var stale []mark
	for i, r := range rs[1:] {
		entry, err := r.AsScanEntry()
		if err != nil {
			return nil, err
		}
		for j := 0; j+1 < len(entry.Elements); j += 2 {
			set, err := strconv.ParseInt(entry.Elements[j+1], 10, 64)
			parts := strings.SplitN(entry.Elements[j], "\n", 3) // clientId, group, token
			if err == nil && len(parts) == 3 && set <= before {
				stale = append(stale, mark{pair{parts[0], parts[1]}, entry.Elements[j]})
			}
		}
		if cursors[partitions[i]] = entry.Cursor; entry.Cursor == 0 {
			delete(cursors, partitions[i])
		}
	}
	return stale, nil
}
