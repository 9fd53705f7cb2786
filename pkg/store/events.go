package store

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// The types of events.
const (
	EventOnline  = "online"  // a client's first connection; Device, Node and Meta are that connection's
	EventOffline = "offline" // its grace is over; Device, Node and Meta are those of the connection that closed last
	EventJoin    = "join"    // it became a member of Group
	EventLeave   = "leave"   // it is no longer a member of Group
	EventReceipt = "receipt" // what became of message ID, which From asked a receipt for: State. ClientID is the receiver
)

// Event is one change of presence or membership, or a receipt. It was written in the same step as the change itself, so neither is
// ever there without the other. Per client online and offline alternate.
type Event struct {
	Type     string          `json:"type"`
	ClientID string          `json:"clientId"`
	Device   string          `json:"device,omitempty"`
	Node     string          `json:"node,omitempty"`
	Time     int64           `json:"time"`             // Unix ms, by Redis's clock
	Seq      string          `json:"seq"`              // unique; rises within "<partition>:"
	Meta     json.RawMessage `json:"meta,omitempty"`   // as it was given at pre-connect
	Group    string          `json:"group,omitempty"`  // of a join or leave
	Groups   []string        `json:"groups,omitempty"` // of an offline: what the client was a member of then
	ID       string          `json:"id,omitempty"`     // of a receipt
	From     string          `json:"from,omitempty"`   // of a receipt; empty when the system sent the message
	State    string          `json:"state,omitempty"`  // of a receipt: delivered, read or expired
}

// eventField is the field of a stream's entry that holds the event.
const eventField = "e"

// parseEvent reads an entry of a partition's events.
func parseEvent(p int, id, text string) (Event, error) {
	var e Event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return e, fmt.Errorf("event %d:%s: %w", p, id, err)
	}
	e.Seq = strconv.Itoa(p) + ":" + id
	return e, nil
}
