package store

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/imtier/imtier/pkg/protocol"
)

// EventPos is a place in the events of all partitions: after one event, and before the next. Events are ordered by the
// millisecond of their ids, then by partition, then by the rest of their ids; so one place is enough to go on in every
// partition, and it may be compared with others.
type EventPos struct {
	ms        int64
	partition int
	n         int64
}

// ErrBadEventPos is returned for text that is no place among events.
var ErrBadEventPos = errors.New("not a position of events")

// String is the position as text: "<milliseconds>-<partition>-<count>".
func (p EventPos) String() string { return fmt.Sprintf("%d-%d-%d", p.ms, p.partition, p.n) }

// ParseEventPos reads what String made.
func ParseEventPos(text string) (EventPos, error) {
	parts := strings.Split(text, "-")
	if len(parts) != 3 {
		return EventPos{}, ErrBadEventPos
	}
	var v [3]int64
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 62)
		if err != nil || strconv.FormatUint(n, 10) != part {
			return EventPos{}, ErrBadEventPos
		}
		v[i] = int64(n)
	}
	if v[1] > protocol.MaxPartitions {
		return EventPos{}, ErrBadEventPos
	}
	return EventPos{v[0], int(v[1]), v[2]}, nil
}

func (p EventPos) compare(q EventPos) int {
	return cmp.Or(cmp.Compare(p.ms, q.ms), cmp.Compare(p.partition, q.partition), cmp.Compare(p.n, q.n))
}

// next is the first id of a partition's stream that lies behind the position.
func (p EventPos) next(partition int) string {
	id := entryID{p.ms, 0}
	switch {
	case partition < p.partition:
		id.ms++
	case partition == p.partition:
		id.n = p.n + 1
	}
	return strconv.FormatInt(id.ms, 10) + "-" + strconv.FormatInt(id.n, 10)
}

// before is the place in front of everything that happens in a millisecond or later.
func before(ms int64, partitions int) EventPos { return EventPos{ms - 1, partitions, 0} }
