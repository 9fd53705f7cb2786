package store

import "time"

// feed is a kind of stream that consumer groups read: one stream per partition, in which scripts append entries of one
// field, and one channel on which they hint at the partition.
type feed struct {
	name      string // for errors
	field     string // of an entry
	channel   string // of hints
	stream    func(p int) string
	lock      func(p int, group string) string // says which consumer of a group reads partition p
	consumers func(group string) string        // those of a group that are alive: zset, score = last sign of life in ms

	scan  time.Duration // how often a consumer says that it lives, and looks at all its partitions, hints or not
	alive time.Duration // without a sign of life for so long a consumer takes no part in the sharing out
	// steal: partitions of a consumer that is not alive are taken from it. Otherwise they are free when its lock has
	// run out, which spares a handler that is slow while Redis is away.
	steal bool
	gaps  bool // entries that were trimmed unread have to be told
}

func (s *Store) eventFeed() *feed {
	return &feed{
		name: "events", field: eventField, channel: s.keys.eventChannel(),
		stream: s.keys.events, lock: s.keys.eventLock, consumers: s.keys.consumers,
		scan: eventScan, alive: consumerAlive, gaps: true,
	}
}
