package ledger

import (
	"slices"
	"sync"
	"time"
)

// Event is one event as a consumer got it; an event that is delivered again is there again.
type Event struct {
	At     time.Time `json:"at"`    // when the consumer got it
	Group  string    `json:"group"` // of consumers
	Key    string    `json:"key"`   // the same when it is delivered again
	Seq    int64     `json:"seq"`
	Type   string    `json:"type"`
	Client string    `json:"client"`
	Node   string    `json:"node,omitempty"`
	Of     string    `json:"of,omitempty"` // the group joined or left; the message of a receipt
	State  string    `json:"state,omitempty"`
	Time   int64     `json:"time"` // when it happened, Unix milliseconds by Redis' clock
}

// Events is the ledger of the consumers of events.
type Events struct {
	mu  sync.Mutex
	all []Event
}

// Add writes an event down.
func (l *Events) Add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, e)
}

// All are all events so far.
func (l *Events) All() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}
