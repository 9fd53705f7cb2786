package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/ledger"
)

const (
	// stayAway is where the close codes begin after which a client does not come back.
	stayAway = 4500
	lastCode = 4999
)

// Options of a Client.
type Options struct {
	API    *api.API       // required
	Ledger *ledger.Client // required; its ID and Groups are the client's

	Device string // empty: the default one
	// Ways are those to come back, one of which is chosen each time; empty: ByPositions. Whoever cannot come back as chosen
	// comes ByPositions.
	Ways  []ledger.Way
	Nodes []string   // addresses of imservers, for BySession
	Rand  *rand.Rand // chooses; nil: some source
	// First and Last bound the pause before another attempt; zero: 1 s and 30 s, as the protocol says. A rig with
	// little time uses less.
	First, Last time.Duration
	Buffer      int // bytes of the kernel's receive buffer; 0: its choice
}

// Client keeps a connection open as an application does: a fresh URL or the last session's token for each attempt, a pause
// with jitter between them, start with the positions handled or without, acknowledgements now and then.
type Client struct {
	o Options

	// Run's alone.
	pos    map[string]string // where the client stopped, by stream
	device string
	token  string   // of the last session; empty when it was used
	read   []string // ids of messages, of which every connection is told again: nobody says that it was understood
	first  bool     // nothing has been started yet
	rejoin bool     // only a URL brings the client back into its groups
	moved  *Conn    // to which the last connection was handed over

	mu    sync.Mutex
	conn  *Conn
	node  string
	stall chan struct{} // not nil while the client does not read
	away  chan struct{} // not nil while the client does not connect
	opens int           // connections that got hello
	count int           // connections that got started
	err   error         // why the last attempt failed
}

// New makes a client; Run connects it.
func New(o Options) *Client {
	if o.First == 0 {
		o.First, o.Last = time.Second, 30*time.Second
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), 0))
	}
	return &Client{o: o, pos: make(map[string]string), device: o.Device, first: true}
}

// ID is the client's.
func (c *Client) ID() string { return c.o.Ledger.ID }

// Ledger is what it saw.
func (c *Client) Ledger() *ledger.Client { return c.o.Ledger }

// Node is the node of the present connection, or the last one.
func (c *Client) Node() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.node
}

// Starts is how many connections got as far as started.
func (c *Client) Starts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// Trouble is why the last attempt to connect failed; nil after one that did not.
func (c *Client) Trouble() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Cut breaks the present connection; the client comes back.
func (c *Client) Cut() {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn != nil {
		conn.Cut()
	}
}

// Stall makes the client read nothing more until the function that it returns is called.
func (c *Client) Stall() (again func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stall := make(chan struct{})
	c.stall = stall
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.stall == stall {
			c.stall = nil
		}
		close(stall)
	}
}

// Away disconnects the client until the function that it returns is called. It returns when the connection has ended.
func (c *Client) Away() (back func()) {
	away := make(chan struct{})
	c.mu.Lock()
	c.away = away
	c.mu.Unlock()
	c.Cut()
	for c.o.Ledger.Connected() {
		<-time.After(time.Millisecond)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.away = nil
		close(away)
	}
}

// Run keeps the client connected until ctx ends (nil) or the server tells it to stay away (the close error).
func (c *Client) Run(ctx context.Context) error {
	pause := c.o.First
	for {
		c.mu.Lock()
		away := c.away
		c.mu.Unlock()
		if away != nil {
			select {
			case <-away:
			case <-ctx.Done():
			}
		}
		started, err := c.session(ctx)
		for errors.Is(err, errMoved) {
			started, err = c.session(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if code := CloseCode(err); code >= stayAway && code <= lastCode {
			return fmt.Errorf("client %s: %w", c.ID(), err)
		}
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		if started {
			pause = c.o.First
		}
		t := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
		pause = min(2*pause, c.o.Last)
	}
}
