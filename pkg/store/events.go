package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// The types of events.
const (
	EventOnline  = "online"  // a client's first connection; Device, Node and Meta are that connection's
	EventOffline = "offline" // its grace is over; Device, Node and Meta are those of the connection that closed last
	EventJoin    = "join"    // it became a member of Group
	EventLeave   = "leave"   // it is no longer a member of Group
	EventReceipt = "receipt" // what became of message ID, which From asked a receipt for: State. ClientID is the receiver

	// EventLost tells that events were dropped before the consumer got them: it was away for longer than they are kept,
	// or Redis lost data. They happened after Since and before Time, to clients that are not known; what the
	// consumer made of earlier events has to be compared with the present state. It has no ClientID, Seq or Key.
	EventLost = "lost"
)

// EventTypes are all types that happen to clients.
var EventTypes = []string{EventOnline, EventOffline, EventJoin, EventLeave, EventReceipt}

// Event is one change of presence or membership, or a receipt. It was written in the same step as the change itself, so neither is
// ever there without the other. Per client online and offline alternate.
type Event struct {
	Type     string          `json:"type"`
	ClientID string          `json:"clientId,omitempty"`
	Device   string          `json:"device,omitempty"`
	Node     string          `json:"node,omitempty"`
	Time     int64           `json:"time"`             // Unix ms, by Redis's clock
	Seq      int64           `json:"seq,omitempty"`    // rises with every event of a client; below 2^53
	Meta     json.RawMessage `json:"meta,omitempty"`   // as it was given at pre-connect
	Group    string          `json:"group,omitempty"`  // of a join or leave
	Groups   []string        `json:"groups,omitempty"` // of an offline: what the client was a member of then
	ID       string          `json:"id,omitempty"`     // of a receipt
	From     string          `json:"from,omitempty"`   // of a receipt; empty when the system sent the message
	State    string          `json:"state,omitempty"`  // of a receipt: delivered, read or expired
	Since    int64           `json:"since,omitempty"`  // of a lost: Unix ms

	// Key is unique among all events of an installation, and the same when an event is delivered again.
	Key string `json:"-"`
	// Pos is the place behind the event in the order of all, where one that reads them all can go on. Only reading
	// without a consumer group sets it.
	Pos string `json:"-"`
}

// Fields of a stream's entry: an event, and a request of a client.
const eventField = "e"

// perMs is how many events of one millisecond have numbers of their own; emit in prelude_events.lua sees to it that
// there are no more.
const perMs = 1000

// parseEvent reads an entry of a partition's events.
func parseEvent(p int, id, text string) (Event, error) {
	var e Event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return e, fmt.Errorf("event %d:%s: %w", p, id, err)
	}
	at, err := parseEntryID(id)
	if err != nil {
		return e, fmt.Errorf("event %d:%s: %w", p, id, err)
	}
	e.Seq, e.Key = at.seq(), strconv.Itoa(p)+"-"+id
	return e, nil
}

// entryID is the id of an entry in a stream whose ids Redis makes from its clock.
type entryID struct{ ms, n int64 }

func parseEntryID(text string) (entryID, error) {
	a, b, _ := strings.Cut(text, "-")
	ms, err := strconv.ParseUint(a, 10, 62)
	if err != nil {
		return entryID{}, err
	}
	n, err := strconv.ParseUint(b, 10, 62)
	return entryID{int64(ms), int64(n)}, err
}

// seq is the number of an event: it reads as microseconds since 1970.
func (e entryID) seq() int64 { return e.ms*perMs + min(e.n, perMs-1) }

// lostEvent reports that entries after one id and before another were trimmed before they were read.
func lostEvent(after, before string) Event {
	from, _ := parseEntryID(after) // ids come from Redis
	to, _ := parseEntryID(before)
	return Event{Type: EventLost, Since: from.ms, Time: to.ms}
}
