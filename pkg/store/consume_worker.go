package store

import (
	"context"
	_ "embed"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// sharedName is the name under which all consumers of a group read. The lock says who may; with one name, events that
// a dead consumer had in hand are simply the first ones that the next one reads.
const sharedName = "holder"

// eventWorker goes through some of a consumer's partitions, one after the other.
type eventWorker struct {
	c    *consumer
	wake chan struct{} // holds one token while there is something new in the fields below

	mu    sync.Mutex
	mine  map[int]bool // partitions to read
	ready map[int]bool // of those, the ones to look at now

	// Worker only (and leave, after it ended).
	held  map[int]bool  // locks taken; true when what a predecessor left in hand has been gone through
	retry map[int]delay // partitions whose handler failed
}

// delay is when to try again, and how long to wait if that fails too.
type delay struct {
	at   time.Time
	next time.Duration
}

func newEventWorker(c *consumer) *eventWorker {
	return &eventWorker{
		c:     c,
		wake:  make(chan struct{}, 1),
		mine:  make(map[int]bool),
		ready: make(map[int]bool),
		held:  make(map[int]bool),
		retry: make(map[int]delay),
	}
}

// assign sets the partitions to read; all of them are to be looked at.
func (w *eventWorker) assign(partitions []int) {
	w.mu.Lock()
	clear(w.mine)
	for _, p := range partitions {
		w.mine[p], w.ready[p] = true, true
	}
	w.mu.Unlock()
	w.signal()
}

// hint says that there is something new in a partition.
func (w *eventWorker) hint(p int) {
	w.mu.Lock()
	w.ready[p] = true
	w.mu.Unlock()
	w.signal()
}

func (w *eventWorker) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *eventWorker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		w.dropOthers(ctx)
		for _, p := range w.due() {
			if ctx.Err() != nil {
				return
			}
			w.drain(ctx, p)
		}
		timer.Reset(w.pause())
	}
}

// due returns the partitions to look at now: those that are ready, but not those that wait for another try, except
// when it is time for it.
func (w *eventWorker) due() []int {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.retry {
		w.ready[p] = true
	}
	var out []int
	for _, p := range slices.Sorted(maps.Keys(w.ready)) {
		if w.mine[p] && !now.Before(w.retry[p].at) {
			out = append(out, p)
		}
	}
	clear(w.ready)
	return out
}

// pause is how long there is nothing to try again.
func (w *eventWorker) pause() time.Duration {
	wait := eventScan
	for _, d := range w.retry {
		wait = min(wait, time.Until(d.at))
	}
	return max(wait, 0)
}

// dropOthers gives back partitions that belong to another consumer by now.
func (w *eventWorker) dropOthers(ctx context.Context) {
	w.mu.Lock()
	var calls []call
	for p := range w.held {
		if !w.mine[p] {
			delete(w.held, p)
			calls = append(calls, call{[]string{w.c.s.keys.eventLock(p, w.c.group)}, []string{w.c.token}})
		}
	}
	for p := range w.retry {
		if !w.mine[p] {
			delete(w.retry, p)
		}
	}
	w.mu.Unlock()
	_, _ = w.c.s.runChunks(ctx, unlockScript, calls, "give partitions back") // else they run out
}

// drain handles the events of a partition until there are no more, or one fails.
func (w *eventWorker) drain(ctx context.Context, p int) {
	for {
		got, err := w.take(ctx, p)
		if err != nil {
			w.failed(p)
			return
		}
		if !got.held {
			delete(w.held, p)
			delete(w.retry, p)
			return
		}
		w.held[p] = !got.old
		for _, e := range got.entries {
			if err := w.deliver(ctx, p, e); err != nil {
				w.held[p] = false // it and those behind it are in hand now
				w.failed(p)
				return
			}
		}
		delete(w.retry, p)
		if !got.old && len(got.entries) < eventBatch {
			return
		}
	}
}

func (w *eventWorker) failed(p int) {
	next := max(w.retry[p].next, eventRetry)
	w.retry[p] = delay{time.Now().Add(next), min(2*next, eventRetryMost)}
}

var errOvertaken = errors.New("another consumer has the partition")

// deliver handles one event and acknowledges it.
func (w *eventWorker) deliver(ctx context.Context, p int, e eventEntry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// An entry without text was trimmed before it was handled; one that is no event was not written by imtier.
	if ev, err := parseEvent(p, e.id, e.text); err == nil {
		if err := w.c.handle(ctx, ev); err != nil {
			return err
		}
	}
	s := w.c.s
	keys := []string{s.keys.events(p), s.keys.eventLock(p, w.c.group)}
	args := []string{w.c.token, millis(eventLockTTL), w.c.group, e.id}
	// Also when ctx has ended meanwhile: what was handled need not come again.
	held, err := s.run(context.WithoutCancel(ctx), ackScript, keys, args).AsInt64()
	if err == nil && held == 0 {
		err = errOvertaken
	}
	return err
}

// reading is what take.lua returned.
type reading struct {
	held    bool // this consumer has the partition
	old     bool // the entries were in hand already
	entries []eventEntry
}

type eventEntry struct{ id, text string }

// take gets or renews the partition and reads its next events.
func (w *eventWorker) take(ctx context.Context, p int) (reading, error) {
	s := w.c.s
	keys := []string{s.keys.events(p), s.keys.eventLock(p, w.c.group)}
	args := []string{w.c.token, millis(eventLockTTL), w.c.group, sharedName, strconv.Itoa(eventBatch), bit(w.held[p])}
	reply, err := s.run(ctx, takeScript, keys, args).ToArray()
	if err != nil {
		if strings.Contains(err.Error(), "NOGROUP") {
			// Redis lost the group. Nobody knows what it had handled: begin with what there is.
			return reading{}, errors.Join(append(s.createEventGroups(ctx, []int{p}, w.c.group, "0"), err)...)
		}
		return reading{}, err
	}
	if held, err := reply[0].AsInt64(); err != nil || held == 0 {
		return reading{}, err
	}
	old, err := reply[1].AsInt64()
	if err != nil {
		return reading{}, err
	}
	entries, err := eventEntries(&reply[2])
	return reading{true, old == 1, entries}, err
}

// eventEntries reads entries of a stream: {id, {field, value, …} or nil}.
func eventEntries(m *rueidis.RedisMessage) ([]eventEntry, error) {
	rows, err := m.ToArray()
	if err != nil {
		return nil, err
	}
	out := make([]eventEntry, len(rows))
	for i, row := range rows {
		cells, err := row.ToArray()
		if err != nil {
			return nil, err
		}
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
			if fields[j] == eventField {
				out[i].text = fields[j+1]
			}
		}
	}
	return out, nil
}
