package store

import (
	"context"
	_ "embed"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

//go:embed lua/acknowledge.lua
var acknowledgeLua string

var acknowledgeScript = newRoamingScript("acknowledge", preludeLua+receiptsLua+acknowledgeLua)

const (
	// rememberFor is how long a client's cursors, and when it was seen last, outlive their last change.
	rememberFor = 30 * 24 * time.Hour
	// awaitScan is how many messages that somebody waits for one run of acknowledge.lua looks at.
	awaitScan = 200
	// readsPerCall bounds the ids and positions of one run.
	readsPerCall = 500
)

// inboxWire is the inbox's name in cursors.
var inboxWire = protocol.InboxOf("").String()

// Span is what lies between two positions, both excluded.
type Span struct{ From, To protocol.Position }

// Ack is what a device acknowledged.
type Ack struct {
	ClientID, Device string
	// Pos is how far, by the stream's wire name ("inbox", "group:<g>", "all"). Positions only rise: an older one
	// is ignored.
	Pos map[string]protocol.Position

	Missed []Span              // parts of the inbox that Pos goes over but that the device was told it may lack
	Given  []protocol.Position // messages of the inbox that were delivered to a connection that cannot acknowledge
	Read   []string            // ids of messages of the inbox that were read
}

// Acknowledge stores how far devices acknowledged streams, and what that means for those who wait for receipts.
// Repeating it does no harm. When it returns nil all receipts are recorded; they are in the senders' inboxes then, or
// will be within some seconds.
func (s *Store) Acknowledge(ctx context.Context, acks []Ack) error {
	var calls []call
	for i := range acks {
		calls = s.appendAck(calls, &acks[i])
	}
	var errs error
	for len(calls) > 0 {
		replies, err := s.runChunks(ctx, acknowledgeScript, calls, "acknowledge")
		errs = errors.Join(errs, err)
		var again []call
		var told []untold
		for i, m := range replies {
			more, marks, err := parseUntold(m)
			errs = errors.Join(errs, err)
			told = append(told, marks...)
			if more == 1 {
				again = append(again, calls[i])
			}
		}
		_ = s.tell(ctx, told) // what fails here is left to the janitor
		calls = again
	}
	return errs
}

// appendAck makes the calls of acknowledge.lua for one device: one, unless it has read very much.
func (s *Store) appendAck(calls []call, a *Ack) []call {
	if len(a.Pos)+len(a.Missed)+len(a.Given)+len(a.Read) == 0 {
		return calls
	}
	k, p := s.keys, s.keys.partition(a.ClientID)
	keys := []string{k.cursor(a.ClientID), k.await(a.ClientID), k.due(a.ClientID), k.expiry(p), k.events(p), k.untold(p)}
	given, read := a.Given, a.Read
	for len(given) > readsPerCall || len(read) > readsPerCall {
		g, r := given[:min(len(given), readsPerCall)], read[:min(len(read), readsPerCall)]
		given, read = given[len(g):], read[len(r):]
		calls = append(calls, call{keys, s.ackArgs(p, &Ack{ClientID: a.ClientID, Given: g, Read: r})})
	}
	rest := *a
	rest.Given, rest.Read = given, read
	return append(calls, call{keys, s.ackArgs(p, &rest)})
}

func (s *Store) ackArgs(p int, a *Ack) []string {
	upTo := ""
	if pos, ok := a.Pos[inboxWire]; ok {
		upTo = pos.String()
	}
	args := slices.Grow([]string(nil), 13+2*len(a.Pos)+2*len(a.Missed)+len(a.Given)+len(a.Read))
	args = append(args, seconds(rememberFor), a.ClientID, upTo, strconv.Itoa(awaitScan),
		millis(s.opts.HistoryTTL), millis(answerTTL), s.eventsSize, s.keys.eventChannel(), strconv.Itoa(p),
		s.keys.waiterPrefix(), strconv.Itoa(len(a.Pos)), strconv.Itoa(len(a.Missed)), strconv.Itoa(len(a.Given)))
	for stream, at := range a.Pos {
		args = append(args, a.Device+"\n"+stream, at.String())
	}
	for _, m := range a.Missed {
		args = append(args, m.From.String(), m.To.String())
	}
	for _, pos := range a.Given {
		args = append(args, pos.String())
	}
	return append(args, a.Read...)
}

// parseUntold reads what acknowledge.lua and expire.lua return: a number, then fields of untold with their values.
func parseUntold(m *rueidis.RedisMessage) (n int64, marks []untold, err error) {
	n, texts, err := numberAndPairs(m)
	for _, t := range texts {
		if u, ok := newUntold(t[0], t[1]); ok {
			marks = append(marks, u)
		}
	}
	return n, marks, err
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
