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
	To       []string          `json:"to,omitempty"`     // clients, or the one group
	Except   string            `json:"except,omitempty"` // a client that must not get it
	Called   time.Time         `json:"called"`
	Returned time.Time         `json:"returned"`
	Outcome  Outcome           `json:"outcome"`
	Pos      map[string]string `json:"pos,omitempty"` // by client, group, or "" of a broadcast; when OK
	Error    string            `json:"error,omitempty"`
}

// Publisher is the ledger of all publishers.
type Publisher struct {
	mu     sync.Mutex
	sends  []Send
	losses []time.Time
}

// Add writes down an attempt that is over.
func (p *Publisher) Add(s Send) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sends = append(p.sends, s)
}

// Lost writes down that Redis may have lost data at this moment.
func (p *Publisher) Lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.losses = append(p.losses, time.Now())
}

// Losses are the moments at which Redis may have lost data.
func (p *Publisher) Losses() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.losses)
}

// Sends are all attempts so far.
func (p *Publisher) Sends() []Send {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sends)
}
