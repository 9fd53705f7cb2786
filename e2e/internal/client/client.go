package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/ledger"
)

const (
	ackEvery = 200 * time.Millisecond // at most so often
	// stayAway is where the close codes begin after which a client does not come back.
	stayAway = 4500
	lastCode = 4999
)

// Options of a Client.
type Options struct {
	API    *api.API       // required
	Ledger *ledger.Client // required; its ID and Groups are the client's

	Device string // empty: the default one
	// First and Last bound the pause before another attempt; zero: 1 s and 30 s, as the protocol says. A rig with
	// little time uses less.
	First, Last time.Duration
	Buffer      int // bytes of the kernel's receive buffer; 0: its choice
}

// Client keeps a connection open as an application does: a fresh URL for each attempt, a pause with jitter between them,
// start with the positions handled, acknowledgements now and then.
type Client struct {
	o   Options
	pos map[string]string // Run's alone

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
	return &Client{o: o, pos: make(map[string]string)}
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

var errLeft = errors.New("a group was lost: connect again to be in it")

// session is one connection, from the URL to the end. It reports whether it got as far as started.
func (c *Client) session(ctx context.Context) (started bool, err error) {
	url, err := c.o.API.Connect(ctx, api.ConnectRequest{ClientID: c.ID(), Device: c.o.Device, Groups: c.o.Ledger.Groups})
	if err != nil {
		return false, err
	}
	conn, err := DialSlow(ctx, url, V1, c.o.Buffer)
	if err != nil {
		return false, err
	}
	defer conn.Cut()
	s := &session{c: c, conn: conn, at: time.Now()}
	err = s.run(ctx)
	c.mu.Lock()
	c.conn = nil
	c.mu.Unlock()
	if s.number > 0 {
		s.note(ledger.Entry{What: ledger.Closed, Code: max(0, CloseCode(err))})
	}
	if ctx.Err() != nil {
		conn.Close()
	}
	return s.started, err
}

// session is the state of one connection; Run's alone.
type session struct {
	c       *Client
	conn    *Conn
	at      time.Time
	number  int // of the connection, from hello on
	started bool
	acked   time.Time
}

func (s *session) note(e ledger.Entry) {
	e.At, e.Conn = time.Now(), s.number
	s.c.o.Ledger.Add(e)
}

func (s *session) run(ctx context.Context) error {
	for {
		s.c.mu.Lock()
		stall := s.c.stall
		s.c.mu.Unlock()
		if stall != nil {
			select {
			case <-stall:
			case <-ctx.Done():
			}
		}
		f, err := s.conn.Next(ctx)
		if err != nil {
			return err
		}
		if err := s.take(ctx, f); err != nil {
			return err
		}
	}
}

// take acts on one frame.
func (s *session) take(ctx context.Context, f Frame) error {
	pos := s.c.pos
	switch f.Type {
	case "hello":
		return s.hello(ctx, f)
	case "started":
		s.start(f)
	case "message":
		e := ledger.Entry{What: ledger.Message, Stream: f.Stream, Pos: f.Pos, ID: f.ID}
		e.Replayed = f.Time < s.at.UnixMilli()
		var data struct {
			Key string `json:"key"`
		}
		_ = json.Unmarshal(f.Data, &data) // a message of somebody else's has no key, and the checker says so
		e.Key = data.Key
		s.note(e)
		if f.Pos != "" {
			pos[f.Stream] = f.Pos
		}
		return s.ack(ctx)
	case "gap":
		s.note(ledger.Entry{What: ledger.Gap, Stream: f.Stream, Pos: f.From, To: f.To})
	case "joined":
		s.note(ledger.Entry{What: ledger.Joined, Stream: "group:" + f.Group, Pos: f.Pos})
		pos["group:"+f.Group] = f.Pos
	case "left":
		s.note(ledger.Entry{What: ledger.Left, Stream: "group:" + f.Group})
		delete(pos, "group:"+f.Group)
		return errLeft
	}
	return nil
}

func (s *session) hello(ctx context.Context, f Frame) error {
	c := s.c
	c.mu.Lock()
	c.opens++
	s.number = c.opens
	c.conn, c.node = s.conn, f.Node
	c.mu.Unlock()
	s.note(ledger.Entry{What: ledger.Opened, Node: f.Node, ID: f.ConnID})
	return s.conn.Start(ctx, maps.Clone(c.pos))
}

func (s *session) start(f Frame) {
	pos := s.c.pos
	for stream := range pos {
		if _, ok := f.At[stream]; !ok {
			s.note(ledger.Entry{What: ledger.Left, Stream: stream})
			delete(pos, stream)
		}
	}
	for stream, at := range f.At {
		s.note(ledger.Entry{
			What: ledger.Started, Stream: stream, Pos: at, Asked: pos[stream], Recovered: f.Recovered[stream],
		})
		pos[stream] = at
	}
	s.started = true
	s.c.mu.Lock()
	s.c.count++
	s.c.err = nil
	s.c.mu.Unlock()
}

func (s *session) ack(ctx context.Context) error {
	if now := time.Now(); now.Sub(s.acked) >= ackEvery {
		s.acked = now
		return s.conn.Ack(ctx, s.c.pos)
	}
	return nil
}
