package ledger

import (
	"slices"
	"sync"
	"time"
)

// What says what an Entry is about.
type What string

const (
	Opened  What = "open"    // a connection was made: hello has come
	Started What = "start"   // one per stream of started: Pos is where it begins, Asked what the client wanted
	Message What = "message" // Pos is empty for an ephemeral one
	Gap     What = "gap"     // something may be missing between Pos and To
	Joined  What = "joined"  // follows the stream from after Pos
	Left    What = "left"    // follows the stream no more, or started did not name it again
	Closed  What = "close"   // the connection ended; Code is the close code, if any
	Receipt What = "receipt" // in the inbox: what became of message ID of the client's at Of: State
	Read    What = "read"    // the client told that it has read message ID
)

// Entry is one thing that a client saw.
type Entry struct {
	At        time.Time `json:"at"`
	Conn      int       `json:"conn"` // number of the connection, from 1
	What      What      `json:"what"`
	Stream    string    `json:"stream,omitempty"`
	Pos       string    `json:"pos,omitempty"`
	Asked     string    `json:"asked,omitempty"`
	Way       Way       `json:"way,omitempty"` // of open and start
	To        string    `json:"to,omitempty"`
	Recovered bool      `json:"recovered,omitempty"`
	Key       string    `json:"key,omitempty"`
	ID        string    `json:"id,omitempty"`
	Replayed  bool      `json:"replayed,omitempty"` // was sent before the connection was made
	Node      string    `json:"node,omitempty"`
	Code      int       `json:"code,omitempty"`
	Of        string    `json:"of,omitempty"`
	State     string    `json:"state,omitempty"`
}

// Way is how a client comes back.
type Way string

// The ways to come back. When a client comes ByCursor or ByNothing it does not say where it stopped: Asked of
// a start is empty.
const (
	ByPositions Way = "positions" // a fresh URL, and where the client stopped
	BySession   Way = "session"   // the token that the last connection gave, and where the client stopped
	ByCursor    Way = "cursor"    // a fresh URL, and nothing: the server knows what the device acknowledged
	ByHandover  Way = "handover"  // a URL that the server gave when it went away, and where the client stopped
	ByNothing   Way = "nothing"   // a fresh URL for a device that was never there: only the inbox goes on
)

// Client is the ledger of one client.
type Client struct {
	ID     string
	Groups []string // that it is a member of, always; others come and go, see Change

	mu        sync.Mutex
	entries   []Entry
	connected bool
}

// NewClient makes the ledger of a client that belongs to groups.
func NewClient(id string, groups ...string) *Client { return &Client{ID: id, Groups: groups} }

// Add writes an entry down.
func (c *Client) Add(e Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e.What {
	case Started:
		c.connected = true
	case Closed:
		c.connected = false
	}
	c.entries = append(c.entries, e)
}

// Entries are all entries so far.
func (c *Client) Entries() []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.entries)
}

// Since returns the entries from number n on.
func (c *Client) Since(n int) []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.entries[min(n, len(c.entries)):])
}

// Connected tells whether the client has started and not been closed.
func (c *Client) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connected
}
