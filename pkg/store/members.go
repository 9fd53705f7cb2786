package store

import (
	"context"

	"github.com/redis/rueidis"
)

// GroupInfo is a group and how many members it has. Two seconds after a node has died those who were connected to it
// only are no longer counted as online. Everything else (Online, Members, events) takes the node's lease for the truth.
type GroupInfo struct {
	Group   string
	Members int
	Online  int // of the members
}

// Member is a client in a group.
type Member struct {
	ClientID string
	Online   bool
}

// countAtOnce bounds how many groups are counted at a time: the members of each are read a page at a time.
const countAtOnce = 32

// Members lists the members of a group in a stable order, at most limit (1000) at a time. The cursor of the first page
// is empty, and so is the one returned with the last.
func (s *Store) Members(ctx context.Context, group, cursorText string, limit int) ([]Member, string, error) {
	c, err := parseCursor(cursorText, s.Partitions())
	if err != nil {
		return nil, "", err
	}
	limit = pageSize(limit)
	ids, err := s.lexRange(ctx, s.keys.members(group), c.last, limit)
	if err != nil {
		return nil, "", wrap("members of "+group, err)
	}
	online, err := s.Online(ctx, ids)
	if err != nil {
		return nil, "", err
	}
	out := make([]Member, len(ids))
	for i, id := range ids {
		out[i] = Member{id, online[id]}
	}
	if len(ids) < limit {
		return out, "", nil
	}
	return out, cursor{s.keys.partition(group), ids[len(ids)-1]}.String(), nil
}

// Groups lists the groups that have members, in a stable order, at most limit (1000) at a time.
func (s *Store) Groups(ctx context.Context, cursorText string, limit int) ([]GroupInfo, string, error) {
	names, next, err := s.page(ctx, s.keys.grouplist, cursorText, limit)
	if err != nil {
		return nil, "", wrap("list groups", err)
	}
	infos, err := s.countGroups(ctx, names)
	return infos, next, err
}

// Group counts the members of one group; a group that nobody is in has none.
func (s *Store) Group(ctx context.Context, group string) (GroupInfo, error) {
	infos, err := s.countGroups(ctx, []string{group})
	if err != nil {
		return GroupInfo{}, err
	}
	return infos[0], nil
}

func (s *Store) countGroups(ctx context.Context, names []string) ([]GroupInfo, error) {
	out := make([]GroupInfo, len(names))
	for i, name := range names {
		out[i].Group = name
	}
	if len(out) == 0 {
		return out, nil
	}
	on, err := s.onSilentNodes(ctx)
	if err != nil {
		return nil, err
	}
	for at := 0; at < len(out); at += countAtOnce {
		if err := s.count(ctx, out[at:min(at+countAtOnce, len(out))], on); err != nil {
			return nil, wrap("count members", err)
		}
	}
	return out, nil
}

// count walks through the members of all the groups side by side, a page of each per round.
func (s *Store) count(ctx context.Context, groups []GroupInfo, on onSilent) error {
	type walk struct {
		info *GroupInfo
		last string
	}
	var left []walk
	for i := range groups {
		left = append(left, walk{info: &groups[i]})
	}
	for len(left) > 0 {
		cmds := make([]rueidis.Completed, len(left))
		for i, w := range left {
			cmds[i] = s.lexCommand(s.keys.members(w.info.Group), w.last, maxPage)
		}
		pages := make([][]string, len(left))
		var all []string
		for i, r := range s.doMulti(ctx, cmds...) {
			ids, err := r.AsStrSlice()
			if err != nil {
				return err
			}
			pages[i] = ids
			all = append(all, ids...)
		}
		online, err := s.present(ctx, all, on)
		if err != nil {
			return err
		}
		var more []walk
		for i, w := range left {
			w.info.Members += len(pages[i])
			for _, id := range pages[i] {
				if online[id] {
					w.info.Online++
				}
			}
			if len(pages[i]) == maxPage {
				w.last = pages[i][maxPage-1]
				more = append(more, w)
			}
		}
		left = more
	}
	return nil
}
