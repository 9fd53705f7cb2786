package ledger

import (
	"slices"
	"sync"
	"time"
)

// Kind says whom a send is addressed to.
type Kind string

// The kinds of sends.
const (
	Direct    Kind = "direct"
	Group     Kind = "group"
	Broadcast Kind = "broadcast"
)

// Outcome is what the publisher knows of an attempt.
type Outcome string

const (
	OK      Outcome = "ok"      // answered with success
	Failed  Outcome = "failed"  // answered with an error; it may have taken place all the same
	Unknown Outcome = "unknown" // not answered
)

// Send is one attempt to send one message.
type Send struct {
	Key      string            `json:"key"`    // identifies the message over all attempts; clients find it in the data
	Sender   string            `json:"sender"` // who waits for each of its sends before the next one
	Seq      int               `json:"seq"`    // of the sender
	Kind     Kind              `json:"kind"`
	To       []string          `json:"to,omitempty"`      // clients, or the one group
	Except   string            `json:"except,omitempty"`  // a client that must not get it
	From     string            `json:"from,omitempty"`    // the client whom receipts go to
	Receipt  string            `json:"receipt,omitempty"` // what From wants to know: delivered or read
	Called   time.Time         `json:"called"`
	Returned time.Time         `json:"returned"`
	Outcome  Outcome           `json:"outcome"`
	Pos      map[string]string `json:"pos,omitempty"`      // by client, group, or "" of a broadcast; when OK
	Repeated bool              `json:"repeated,omitempty"` // the answer says that nothing was sent: the id was known
	Error    string            `json:"error,omitempty"`
}

// Change is one attempt to make a client join or leave a group. Of a client and a group there is one attempt at a time, and
// what fails is tried again before anything else.
type Change struct {
	Client   string    `json:"client"`
	Group    string    `json:"group"`
	Join     bool      `json:"join"`
	Called   time.Time `json:"called"`
	Returned time.Time `json:"returned"`
	OK       bool      `json:"ok"`
}

// Publisher is the ledger of all publishers.
type Publisher struct {
	mu      sync.Mutex
	sends   []Send
	changes []Change
	losses  []Span
	calms   []time.Time
	alarms  []Span
}

// Span is a time.
type Span struct{ From, To time.Time }

// Add writes down an attempt that is over.
func (p *Publisher) Add(s Send) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sends = append(p.sends, s)
}

// Changed writes down an attempt to change a membership that is over.
func (p *Publisher) Changed(c Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes = append(p.changes, c)
}

// Changes are all attempts to change memberships so far.
func (p *Publisher) Changes() []Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.changes)
}

// Calm writes down that whatever clients had acknowledged at that moment was stored.
func (p *Publisher) Calm(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calms = append(p.calms, at)
}

// Calms are the moments that Calm has written down.
func (p *Publisher) Calms() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calms)
}

// Lost writes down that Redis may have lost data at a moment.
func (p *Publisher) Lost(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.losses = append(p.losses, Span{at, at})
}

// Losing writes down that Redis may have lost data at any moment between two, these included.
func (p *Publisher) Losing(from, to time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.losses = append(p.losses, Span{from, to})
}

// Losses are the times at any moment of which Redis may have lost data.
func (p *Publisher) Losses() []Span {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.losses)
}

// MayAlarm writes down that something happened between two moments after which clients may be told that loss cannot be
// excluded, although nothing was lost.
func (p *Publisher) MayAlarm(from, to time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alarms = append(p.alarms, Span{from, to})
}

// Alarms are the times that MayAlarm has written down.
func (p *Publisher) Alarms() []Span {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.alarms)
}

// Sends are all attempts so far.
func (p *Publisher) Sends() []Send {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sends)
}
