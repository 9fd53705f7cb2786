package store

import (
	"context"
	_ "embed"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

//go:embed lua/take.lua
var takeLua string

//go:embed lua/ack.lua
var ackLua string

var (
	takeScript = newScript("take", takeLua)
	ackScript  = newScript("ack", ackLua)
)

const (
	// sharedName is the name under which all consumers of a group read. The lock says who may; with one name, entries
	// that a dead consumer had in hand are simply the first ones that the next one reads.
	sharedName = "holder"
	// afterLoss is where a group begins that Redis has lost: at the beginning, but not as a new one would, so that
	// the gap is told.
	afterLoss = "0-1"
	noGaps    = "-" // tells take.lua not to look for any
)

// reading is what take.lua returned.
type reading struct {
	held    bool // this consumer has the partition
	old     bool // the entries were in hand already
	entries []entry
	lost    []string // when not nil: two ids between which entries were trimmed unread
}

// entry is one of a stream.
type entry struct {
	id, text string
	at       int64     // when it was read, Unix ms by Redis's clock
	read     time.Time // the same by ours
}

// take gets or renews the partition and reads its next entries.
func (w *worker) take(ctx context.Context, p int) (reading, error) {
	got, holder, err := w.takeFrom(ctx, p, "")
	if err == nil && !got.held && w.c.isDead(holder) {
		got, _, err = w.takeFrom(ctx, p, holder)
	}
	return got, err
}

// takeFrom is take, also if the partition is dead's. Else it returns who holds it.
func (w *worker) takeFrom(ctx context.Context, p int, dead string) (got reading, holder string, err error) {
	s, f, h := w.c.s, w.c.feed, holding{}
	if w.held[p] != nil {
		h = *w.held[p]
	}
	if h.after == "" {
		h.after = "0"
	}
	if !f.gaps {
		h.last = noGaps
	}
	keys := []string{f.stream(p), f.lock(p, w.c.group)}
	args := []string{w.c.token, millis(eventLockTTL), w.c.group, sharedName, strconv.Itoa(eventBatch), bit(h.passed),
		h.after, dead, h.last}
	// Also when ctx ends meanwhile: what nobody waits for happens all the same, perhaps after leave has given back what
	// this consumer knew to hold, and keeps the next one waiting for eventLockTTL.
	reply, err := s.run(context.WithoutCancel(ctx), takeScript, keys, args).ToArray()
	if err != nil {
		if strings.Contains(err.Error(), "NOGROUP") { // Redis lost it, and nobody knows what it had handled
			return got, "", errors.Join(append(s.createGroups(ctx, f, []int{p}, w.c.group, afterLoss), err)...)
		}
		return got, "", err
	}
	held, err := reply[0].AsInt64()
	if err != nil {
		return got, "", err
	}
	if held == 0 {
		holder, err = reply[1].ToString()
		return got, holder, err
	}
	got, err = parseReading(reply, f.field)
	return got, "", err
}

func parseReading(reply []rueidis.RedisMessage, field string) (reading, error) {
	got := reading{held: true}
	old, err := reply[1].AsInt64()
	if err != nil {
		return got, err
	}
	at, err := reply[3].AsInt64()
	if err != nil {
		return got, err
	}
	got.old = old == 1
	if got.entries, err = entries(&reply[2], field, at); err != nil || len(reply) < 6 {
		return got, err
	}
	after, err := reply[4].ToString()
	if err != nil {
		return got, err
	}
	before, err := reply[5].ToString()
	got.lost = []string{after, before}
	return got, err
}

// entries reads entries of a stream: {id, {field, value, …} or nil}.
func entries(m *rueidis.RedisMessage, field string, at int64) ([]entry, error) {
	rows, err := m.ToArray()
	if err != nil {
		return nil, err
	}
	out := make([]entry, len(rows))
	for i, row := range rows {
		cells, err := row.ToArray()
		if err != nil {
			return nil, err
		}
		out[i].at, out[i].read = at, time.Now()
		if out[i].id, err = cells[0].ToString(); err != nil {
			return nil, err
		}
		if len(cells) < 2 || cells[1].IsNil() {
			continue
		}
		fields, err := cells[1].AsStrSlice()
		if err != nil {
			return nil, err
		}
		for j := 0; j+1 < len(fields); j += 2 {
			if fields[j] == field {
				out[i].text = fields[j+1]
			}
		}
	}
	return out, nil
}
