package bus

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/imserver/internal/socket"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// stand is a bus whose comparisons run when a test says so.
type stand struct {
	*Bus
	store *store.Store
	redis *redistest.Server
	hub   *hub.Hub
	given []bool // of each connection that was given up: whether nobody knows if it is registered
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{redis: redistest.Start(t)}
	var err error
	if s.store, err = store.Open(t.Context(), store.Options{URL: s.redis.URL(), Partitions: 8}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.store.Close)
	s.hub = hub.New(hub.Options{
		Log: StoredLog{Store: s.store, Sure: func(ctx context.Context) error { return s.Sure(ctx) }}, Lost: func() {}, Heard: func(context.Context) error { return nil },
		PingInterval: time.Minute, PongTimeout: time.Minute, StartTimeout: time.Minute,
		Closed: func(c *hub.Conn, _ protocol.Reason) {
			if !c.Ready() {
				s.given = append(s.given, c.Unsure)
			}
		},
	})
	s.Bus = New(Options{Store: s.store, Hub: s.hub, Log: zap.NewNop(), Compare: func(context.Context, func(error)) error { return nil }})
	return s
}

func (s *stand) session(client string) store.Session {
	return store.Session{
		ClientID: client, ConnID: protocol.NewConnID(s.store.Partition(client)), Node: "n", Device: "d",
		JTI: protocol.NewID(), JTITTL: time.Minute, Positions: true,
	}
}

// subscribe runs the subscription until the function that it returns is called, or the test ends.
func (s *stand) subscribe(t *testing.T) (interrupt func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.sub.Run(ctx) }()
	interrupt = func() { cancel(); <-done }
	t.Cleanup(interrupt)
	return interrupt
}

// begin is subscribe for a node that is to serve clients.
func (s *stand) begin(t *testing.T) (interrupt func()) {
	t.Helper()
	interrupt = s.subscribe(t)
	if err := s.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	return interrupt
}

// admit lets a client in, whose socket is not open yet.
func (s *stand) admit(t *testing.T, se store.Session) *hub.Conn {
	t.Helper()
	c, err := s.Admit(t.Context(), se)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// acting has joins and leaves acted on until the test ends.
func (s *stand) acting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	s.control.start(ctx, &wg)
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// moves takes a client from one group to another.
func (s *stand) moves(t *testing.T, client, from, to string) {
	t.Helper()
	if _, err := s.store.Leave(t.Context(), from, []string{client}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.Join(t.Context(), to, []string{client}, store.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
}

func groupsOf(c *hub.Conn) []string { return slices.Sorted(maps.Keys(c.Following())) }

// A connection that has no socket yet follows groups like others: what it misses has to be found.
func TestMembershipsMissedBeforeTheSocketOpens(t *testing.T) {
	s := newStand(t)
	ctx := t.Context()
	s.acting(t)
	interrupt := s.begin(t)
	if _, err := s.store.Join(ctx, "old", []string{"ann"}, store.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	c := s.admit(t, s.session("ann"))
	t.Cleanup(c.Abandon)
	interrupt()
	s.Lost(errors.New("interrupted"))
	s.moves(t, "ann", "old", "new")
	s.subscribe(t)
	if err := s.sub.Subscribe(ctx, s.store.AllChannel()); err != nil {
		t.Fatal(err)
	}
	s.Restored()
	<-s.clients.asked
	if err := s.compareClients(ctx, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	if got := groupsOf(c); !slices.Equal(got, []string{"new"}) {
		t.Errorf("follows %q, want \"new\" only", got)
	}
}

// The comparison after an interruption may be over before a connection follows the groups that it read before.
func TestMembershipsMissedWhileGroupsAreFollowed(t *testing.T) {
	s := newStand(t)
	ctx := t.Context()
	s.acting(t)
	interrupt := s.begin(t)
	t.Cleanup(s.admit(t, s.session("ann")).Abandon) // the inbox's channel is subscribed to
	interrupt()
	s.Lost(errors.New("interrupted"))
	if _, err := s.store.Join(ctx, "old", []string{"ann"}, store.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	second := s.session("ann")
	admitted := make(chan *hub.Conn, 1)
	go func() {
		c, err := s.Admit(ctx, second) // waits for the channel of the group
		if err != nil {
			t.Error(err)
		}
		admitted <- c
	}()
	eventually(t, "it is registered", func() bool {
		c, err := s.store.Client(ctx, "ann")
		return err == nil && len(c.Connections) == 2
	})
	s.moves(t, "ann", "old", "new")
	s.Restored() // the comparison that it asks for has not begun, or is over
	s.subscribe(t)
	c := <-admitted
	if c == nil {
		return
	}
	t.Cleanup(c.Abandon)
	if got := groupsOf(c); !slices.Equal(got, []string{"new"}) {
		t.Errorf("follows %q, want \"new\" only", got)
	}
}

// The stream of a group in which nothing is said expires, and ends before the membership began.
func TestAMembershipOutlivesItsStream(t *testing.T) {
	s := newStand(t)
	ctx := t.Context()
	s.acting(t)
	s.begin(t)
	if _, err := s.store.PublishGroup(ctx, &protocol.Envelope{ID: "m", Time: 1, Data: []byte("1")}, "quiet", false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.Join(ctx, "quiet", []string{"ann"}, store.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	const expire = "return redis.call('DEL', unpack(redis.call('KEYS', ARGV[1])))"
	if got := s.redis.Do("EVAL", expire, "0", "im:*:s:g:quiet"); got != ":1" {
		t.Fatalf("there was no stream: %s", got)
	}
	c := s.admit(t, s.session("ann"))
	t.Cleanup(c.Abandon)
	began := c.Following()
	if len(began) != 1 || began["quiet"].Seq != 0 {
		t.Fatalf("follows %v, want the end of an empty stream", began)
	}
	compare := func() {
		t.Helper()
		if err := s.compareClients(ctx, func(err error) { t.Error(err) }); err != nil {
			t.Fatal(err)
		}
	}
	if compare(); !maps.Equal(c.Following(), began) {
		t.Errorf("left and joined again: follows %v, before %v", c.Following(), began)
	}
	// Unlike what follows a leave and a join that were missed.
	if _, err := s.store.PublishGroup(ctx, &protocol.Envelope{ID: "m2", Time: 1, Data: []byte("1")}, "quiet", false); err != nil {
		t.Fatal(err)
	}
	if compare(); c.Following()["quiet"].Seq == 0 {
		t.Errorf("still follows %v", c.Following())
	}
}

func TestARegistrationWhoseEndIsUnknown(t *testing.T) {
	s := newStand(t)
	ctx := t.Context()
	s.begin(t)
	used := s.session("ann")
	s.admit(t, used).Abandon()
	again := s.session("ann")
	again.JTI = used.JTI
	if _, err := s.Admit(ctx, again); !errors.Is(err, store.ErrURLUsed) {
		t.Fatalf("with a URL that was used: %v", err)
	}
	s.redis.Do("CLIENT", "PAUSE", "1000", "WRITE")
	short, end := context.WithTimeout(ctx, 200*time.Millisecond)
	defer end()
	if _, err := s.Admit(short, s.session("ann")); err == nil {
		t.Fatal("admitted by a Redis that does not answer")
	}
	if len(s.given) != 3 || s.given[0] || s.given[1] || !s.given[2] {
		t.Errorf("unsure: %v, want only the last one to be", s.given)
	}
}

// A raw client comes from a node that was quicker: what it was given there must not come again.
func TestARawClientIsNotGivenEarlierBroadcasts(t *testing.T) {
	s := newStand(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.hub.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	interrupt := s.begin(t)
	s.admit(t, s.session("ann")).Abandon() // the inbox's channel is subscribed to
	interrupt()                            // what is published now has not come yet
	publish := func(id string) (protocol.Position, *hub.Message) {
		e := &protocol.Envelope{ID: id, Time: 1, Data: []byte(strconv.Quote(id))}
		r, err := s.store.PublishAll(ctx, e, false)
		if err != nil {
			t.Fatal(err)
		}
		m, err := hub.NewMessage(e.Encode())
		if err != nil {
			t.Fatal(err)
		}
		return r.Pos, m
	}
	before, earlier := publish("earlier")
	raw := s.session("ann")
	raw.Positions = false
	c := s.admit(t, raw)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handshake, _ := socket.ReadHandshake(r)
		sock, answer, err := handshake.Upgrade(w, socket.Options{MaxMessage: 1 << 10, OutboxCap: 1 << 10, Handler: c})
		if err != nil {
			t.Error(err)
			return
		}
		c.Open(sock, answer)
	}))
	defer srv.Close()
	ws, resp, err := websocket.Dial(ctx, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	s.hub.Deliver(protocol.AllStream(), before, before.Epoch, earlier)
	after, later := publish("later")
	s.hub.Deliver(protocol.AllStream(), after, after.Epoch, later)
	s.hub.Flush()
	patient, end := context.WithTimeout(ctx, patience)
	defer end()
	if _, b, err := ws.Read(patient); err != nil || string(b) != `"later"` {
		t.Errorf("got %q, %v", b, err)
	}
	_ = ws.CloseNow()
	eventually(t, "the end", func() bool { return len(s.hub.Conns()) == 0 })
}
