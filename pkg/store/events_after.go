package store

import (
	"context"
	_ "embed"
	"errors"
	"slices"
	"strconv"

	"github.com/redis/rueidis"
)

//go:embed lua/since.lua
var sinceLua string

var sinceScript = newScript("since", sinceLua)

// EventsOfAll asks for events of all partitions.
const EventsOfAll = -1

// How many events one reading takes from each partition at most: some MB in all.
const (
	eventsOfEach = 32
	eventsOfOne  = 512
)

// EventPage is a piece of the events, in their order.
type EventPage struct {
	Events []PlacedEvent
	Next   EventPos // go on here
	More   bool     // there may be more already
	// Lost is an EventLost when events behind the position asked for were trimmed, in some partition. The same loss is
	// told as long as Next is before its Time.
	Lost *Event
}

// PlacedEvent is an event, and the place behind it.
type PlacedEvent struct {
	Event
	Pos EventPos
}

// EventsNow is the place behind everything that has happened.
func (s *Store) EventsNow(ctx context.Context) (EventPos, error) {
	page, err := s.eventsAfter(ctx, EventPos{ms: farFuture}, EventsOfAll) // finds no entry; the bound is the present
	return page.Next, err
}

const (
	farFuture = 1 << 61
	// maxAhead is how far a position may be ahead of the clock, in ms, which may have stepped back. Nobody was given one
	// that is further: it would wait for events in silence.
	maxAhead = 3_600_000
)

// EventsAfter reads events behind a position: of all clients, or those of one partition. Nothing is consumed. An event
// may be held back for a millisecond, until none can come before it any more. ErrBadEventPos when the position is in the
// future.
func (s *Store) EventsAfter(ctx context.Context, after EventPos, partition int) (EventPage, error) {
	page, err := s.eventsAfter(ctx, after, partition)
	if err == nil && after.ms > page.Next.ms+maxAhead {
		return EventPage{}, ErrBadEventPos
	}
	if err == nil && page.Next.compare(after) < 0 {
		page.Next = after // the clock stepped back
	}
	return page, err
}

func (s *Store) eventsAfter(ctx context.Context, after EventPos, partition int) (EventPage, error) {
	partitions, count := []int{partition}, eventsOfOne
	if partition == EventsOfAll {
		partitions, count = s.allPartitions(), eventsOfEach
	}
	calls := make([]call, len(partitions))
	for i, p := range partitions {
		calls[i] = call{[]string{s.keys.events(p)}, []string{after.next(p), strconv.Itoa(count)}}
	}
	replies, err := s.runChunks(ctx, sinceScript, calls, "read events")
	if err != nil {
		return EventPage{}, err
	}
	var all []pieceOfEvents
	for i, m := range replies {
		piece, err := parseSince(m, partitions[i], count)
		if err != nil {
			return EventPage{}, wrap("read events", err)
		}
		all = append(all, piece)
	}
	return s.merge(after, all), nil
}

// pieceOfEvents is what since.lua returned.
type pieceOfEvents struct {
	partition int
	now       int64
	lost      string // id of the oldest entry, when some before it were trimmed
	entries   []entry
	cut       bool // there may be more
}

func parseSince(m *rueidis.RedisMessage, p, count int) (pieceOfEvents, error) {
	out := pieceOfEvents{partition: p}
	reply, err := m.ToArray()
	if err != nil || len(reply) != 3 {
		return out, errors.Join(err, errors.New("since.lua returned something else"))
	}
	if out.now, err = reply[0].AsInt64(); err != nil {
		return out, err
	}
	if out.lost, err = reply[1].ToString(); err != nil {
		return out, err
	}
	out.entries, err = entries(&reply[2], eventField, out.now)
	out.cut = len(out.entries) == count
	return out, err
}

// merge puts the pieces into one order, as far as it is certain: before the time at which the first piece was read, by
// the clock of its server, and before the end of each piece that is cut.
func (s *Store) merge(after EventPos, all []pieceOfEvents) EventPage {
	var page EventPage
	now := all[0].now
	for _, piece := range all {
		now = min(now, piece.now)
	}
	page.Next = before(now, s.Partitions())
	var lostUntil int64
	for _, piece := range all {
		if piece.lost != "" {
			id, _ := parseEntryID(piece.lost) // made by Redis
			lostUntil = max(lostUntil, id.ms)
		}
		for _, e := range piece.entries {
			id, err := parseEntryID(e.id)
			ev, err2 := parseEvent(piece.partition, e.id, e.text)
			if err == nil && err2 == nil { // else imtier did not write it
				page.Events = append(page.Events, PlacedEvent{ev, EventPos{id.ms, piece.partition, id.n}})
			}
		}
		if piece.cut {
			page.More = true // perhaps
			last, _ := parseEntryID(piece.entries[len(piece.entries)-1].id)
			if end := (EventPos{last.ms, piece.partition, last.n}); end.compare(page.Next) < 0 {
				page.Next = end
			}
		}
	}
	if lostUntil > 0 {
		page.Lost = &Event{Type: EventLost, Since: after.ms, Time: lostUntil}
	}
	slices.SortFunc(page.Events, func(a, b PlacedEvent) int { return a.Pos.compare(b.Pos) })
	certain, found := slices.BinarySearchFunc(page.Events, page.Next, func(e PlacedEvent, pos EventPos) int { return e.Pos.compare(pos) })
	if found {
		certain++
	}
	page.More = page.More || certain < len(page.Events)
	page.Events = page.Events[:certain]
	return page
}
