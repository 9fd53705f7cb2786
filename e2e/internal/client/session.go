package client

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
)

const (
	ackEvery = 200 * time.Millisecond // what there is to acknowledge or to tell as read
	mostRead = 1000                   // ids in one frame, says the protocol
)

// session is the state of one connection; Run's alone.
type session struct {
	c       *Client
	conn    *Conn
	at      time.Time
	way     ledger.Way
	device  string // the client's from started on
	number  int    // of the connection, from hello on
	started bool
	unacked bool     // something came since the last acknowledgement
	unread  []string // ids that are to be told as read
}

func (s *session) note(e ledger.Entry) {
	e.At, e.Conn = time.Now(), s.number
	s.c.o.Ledger.Add(e)
}

// arrival is what a read returned.
type arrival struct {
	f   Frame
	err error
}

func (s *session) run(ctx context.Context) error {
	frames, end := make(chan arrival), make(chan struct{})
	defer close(end)
	go s.receive(ctx, frames, end)
	tick := time.NewTicker(ackEvery)
	defer tick.Stop()
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
		select {
		case a := <-frames:
			if a.err != nil {
				return a.err
			}
			if err := s.take(ctx, a.f); err != nil {
				return err
			}
		case <-tick.C:
			if err := s.tell(ctx); err != nil {
				return err
			}
		}
	}
}

// receive reads one frame after the other, each when the one before was taken, until a read fails or the end.
func (s *session) receive(ctx context.Context, frames chan<- arrival, end <-chan struct{}) {
	for {
		f, err := s.conn.Next(ctx)
		select {
		case frames <- arrival{f, err}:
		case <-end:
			return
		}
		if err != nil {
			return
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
		return s.start(f)
	case "message":
		s.message(f)
	case "receipt":
		s.note(ledger.Entry{What: ledger.Receipt, Stream: f.Stream, Pos: f.Pos, ID: f.ID, Of: f.ClientID, State: f.State})
		s.handled(f)
	case "migrate":
		return s.migrate(ctx, f)
	case "gap":
		s.note(ledger.Entry{What: ledger.Gap, Stream: f.Stream, Pos: f.From, To: f.To})
	case "joined":
		s.note(ledger.Entry{What: ledger.Joined, Stream: "group:" + f.Group, Pos: f.Pos})
		pos["group:"+f.Group] = f.Pos
	case "left":
		s.note(ledger.Entry{What: ledger.Left, Stream: "group:" + f.Group})
		delete(pos, "group:"+f.Group)
		if slices.Contains(s.c.o.Ledger.Groups, f.Group) {
			return errLeft
		}
	}
	return nil
}

// migrate goes where a node that is going away sends the client, every second time; the other times it waits for the end, as
// clients do that do not know the frame.
func (s *session) migrate(ctx context.Context, f Frame) error {
	if s.c.o.Rand.IntN(2) == 0 {
		return nil
	}
	conn, err := DialSlow(ctx, f.URL, V1, s.c.o.Buffer)
	if err != nil {
		return nil //nolint:nilerr // then this connection goes on until its end
	}
	s.c.moved = conn
	return errMoved
}

func (s *session) hello(ctx context.Context, f Frame) error {
	c := s.c
	c.mu.Lock()
	c.opens++
	s.number = c.opens
	c.conn, c.node = s.conn, f.Node
	c.mu.Unlock()
	c.token = f.Session
	s.note(ledger.Entry{What: ledger.Opened, Node: f.Node, ID: f.ConnID, Way: s.way})
	if s.silent() {
		return s.conn.Start(ctx, nil)
	}
	return s.conn.Start(ctx, maps.Clone(c.pos))
}

// silent tells whether the client says nothing about where it stopped.
func (s *session) silent() bool { return s.way == ledger.ByCursor || s.way == ledger.ByNothing }

func (s *session) start(f Frame) error {
	pos, lost := s.c.pos, false
	for stream := range pos {
		if _, ok := f.At[stream]; !ok {
			s.note(ledger.Entry{What: ledger.Left, Stream: stream})
			delete(pos, stream)
		}
	}
	for _, g := range s.c.o.Ledger.Groups {
		_, ok := f.At["group:"+g]
		lost = lost || !ok
	}
	for stream, at := range f.At {
		e := ledger.Entry{What: ledger.Started, Stream: stream, Pos: at, Recovered: f.Recovered[stream], Way: s.way}
		if !s.silent() {
			e.Asked = pos[stream]
		}
		s.note(e)
		pos[stream] = at
	}
	s.started, s.unread = true, slices.Clone(s.c.read)
	s.c.first, s.c.device = false, s.device
	s.c.mu.Lock()
	s.c.count++
	s.c.err = nil
	s.c.mu.Unlock()
	if lost {
		return errLeft
	}
	return nil
}

func (s *session) message(f Frame) {
	var data struct {
		Key  string `json:"key"`
		Read bool   `json:"read"` // the client is to say that it has read it
	}
	_ = json.Unmarshal(f.Data, &data) // a message of somebody else's has no key, and the checker says so
	s.note(ledger.Entry{
		What: ledger.Message, Stream: f.Stream, Pos: f.Pos, ID: f.ID, Key: data.Key, Replayed: f.Time < s.at.UnixMilli(),
	})
	s.handled(f)
	if data.Read && !slices.Contains(s.c.read, f.ID) {
		s.note(ledger.Entry{What: ledger.Read, ID: f.ID, Key: data.Key})
		s.c.read = append(s.c.read, f.ID)
		if len(s.c.read) > mostRead {
			s.c.read = s.c.read[1:]
		}
		s.unread = append(s.unread, f.ID)
	}
}

// handled notes where the client stops from now on.
func (s *session) handled(f Frame) {
	if f.Pos != "" {
		s.c.pos[f.Stream] = f.Pos
		s.unacked = true
	}
}

// tell acknowledges what came, and tells what was read.
func (s *session) tell(ctx context.Context) error {
	if !s.started {
		return nil
	}
	if s.unacked {
		s.unacked = false
		if err := s.conn.Ack(ctx, s.c.pos); err != nil {
			return err
		}
	}
	if len(s.unread) > 0 {
		ids := s.unread[:min(len(s.unread), mostRead)]
		s.unread = s.unread[len(ids):]
		return s.conn.Read(ctx, ids)
	}
	return nil
}
