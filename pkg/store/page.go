package store

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// Pages walk through sorted sets whose members all have score 0 and so are sorted by their bytes. A cursor names the
// last item of a page. Items that are there all the time appear exactly once, whatever comes and goes meanwhile.

// maxPage bounds the items of a page, and is its size when the caller gives none or a larger one.
const maxPage = 1000

// ErrBadCursor means that a cursor is none that an earlier page returned.
var ErrBadCursor = errors.New("bad cursor")

// cursor is a place in a walk: after item last of partition p.
type cursor struct {
	p    int
	last string
}

func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(c.p) + ":" + c.last))
}

// parseCursor reads what String wrote; empty means the beginning.
func parseCursor(text string, partitions int) (cursor, error) {
	if text == "" {
		return cursor{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return cursor{}, ErrBadCursor
	}
	number, last, ok := strings.Cut(string(b), ":")
	p, err := strconv.Atoi(number)
	if !ok || err != nil || p < 0 || p >= partitions {
		return cursor{}, ErrBadCursor
	}
	return cursor{p, last}, nil
}

func pageSize(limit int) int {
	if limit <= 0 || limit > maxPage {
		return maxPage
	}
	return limit
}

// lexCommand reads at most n members of a sorted set after one, in order.
func (s *Store) lexCommand(key, after string, n int) rueidis.Completed {
	lower := "-"
	if after != "" {
		lower = "(" + after
	}
	return s.client.B().Zrangebylex().Key(key).Min(lower).Max("+").Limit(0, int64(n)).Build()
}

func (s *Store) lexRange(ctx context.Context, key, after string, n int) ([]string, error) {
	return s.do(ctx, s.lexCommand(key, after, n)).AsStrSlice()
}

// page returns the next items of a walk over one sorted set in every partition, and the cursor after them: empty at
// the end. A page that is not the last has at least one item, and may have fewer than limit.
func (s *Store) page(ctx context.Context, key func(p int) string, text string, limit int) ([]string, string, error) {
	c, err := parseCursor(text, s.Partitions())
	if err != nil {
		return nil, "", err
	}
	limit = pageSize(limit)
	for {
		from, end, err := s.enough(ctx, key, c.p, limit)
		if err != nil {
			return nil, "", err
		}
		items, next, err := s.walk(ctx, key, c, from, limit)
		if err != nil {
			return nil, "", err
		}
		if len(items) < limit {
			next = cursor{p: end}
		}
		switch {
		case next.p >= s.Partitions():
			return items, "", nil
		case len(items) > 0:
			return items, next.String(), nil
		}
		c = next // everything here has gone since it was counted
	}
}

// enough picks the partitions, from p on, that hold a page of limit items after whatever of p was read already, and
// tells where to go on when these have been read to their ends.
func (s *Store) enough(ctx context.Context, key func(p int) string, p, limit int) (from []int, end int, err error) {
	cmds := make([]rueidis.Completed, 0, s.Partitions()-p)
	for i := p; i < s.Partitions(); i++ {
		cmds = append(cmds, s.client.B().Zcard().Key(key(i)).Build())
	}
	have := 0
	for i, r := range s.doMulti(ctx, cmds...) {
		n, err := r.AsInt64()
		if err != nil {
			return nil, 0, err
		}
		if have >= limit {
			return from, p + i, nil
		}
		if n == 0 {
			continue
		}
		from = append(from, p+i)
		if i > 0 { // how much of the first is left is not known
			have += int(n)
		}
	}
	return from, s.Partitions(), nil
}

// walk reads at most limit items from the given partitions, the first of them after c.last. If it finds so many, the
// cursor it returns lies after the last one.
func (s *Store) walk(ctx context.Context, key func(p int) string, c cursor, from []int, limit int) ([]string, cursor, error) {
	cmds := make([]rueidis.Completed, len(from))
	for i, p := range from {
		after := ""
		if p == c.p {
			after = c.last
		}
		cmds[i] = s.lexCommand(key(p), after, limit)
	}
	items := make([]string, 0, limit)
	for i, r := range s.doMulti(ctx, cmds...) {
		got, err := r.AsStrSlice()
		if err != nil {
			return nil, c, err
		}
		room := limit - len(items)
		if len(got) >= room {
			items = append(items, got[:room]...)
			return items, cursor{from[i], items[limit-1]}, nil
		}
		items = append(items, got...)
	}
	return items, c, nil
}
