package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/imtier/imtier/imserver/internal/socket"
	"github.com/imtier/imtier/pkg/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second // how long something may take on a busy machine

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// memLog is the log in memory. It stands for what the hub asks of Redis, not for Redis.
type memLog struct {
	mu      sync.Mutex
	streams map[protocol.Stream][]Entry
	epochs  map[protocol.Stream]protocol.Position // of streams that have been emptied
	fence   uint64
	keep    int // messages per stream
	fail    error
	reads   int
	asked   int    // times that it was asked anything
	tails   int    // calls of Tails until now
	most    int    // calls of Tails that succeed, if not 0
	read    func() // called between reading and answering, without the lock
}

var errAway = errors.New("the log is away")

func newLog() *memLog {
	return &memLog{
		streams: make(map[protocol.Stream][]Entry), epochs: make(map[protocol.Stream]protocol.Position),
		fence: 10, keep: 100_000,
	}
}

func (l *memLog) After(_ context.Context, st protocol.Stream, after protocol.Position, limit int) ([]Entry, error) {
	l.mu.Lock()
	l.reads++
	l.asked++
	var out []Entry
	for _, e := range l.streams[st] {
		if after.Less(e.Pos) && len(out) < limit {
			out = append(out, e)
		}
	}
	fail, read := l.fail, l.read
	l.mu.Unlock()
	if read != nil {
		read()
	}
	return out, fail
}

func (l *memLog) Tails(_ context.Context, sts []protocol.Stream) ([]Tail, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	out := make([]Tail, len(sts))
	for i, st := range sts {
		out[i] = Tail{l.tail(st), l.fence}
	}
	if l.tails++; l.most > 0 && l.tails > l.most {
		return nil, errAway
	}
	return out, l.fail
}

func (l *memLog) Since(ctx context.Context, reads []Read) ([]Since, error) {
	out := make([]Since, len(reads))
	var before int
	l.set(func() { before = l.asked })
	defer l.set(func() { l.asked = before + 1 })
	for i, r := range reads {
		tails, err := l.Tails(ctx, []protocol.Stream{r.Stream})
		if err != nil {
			return nil, err
		}
		out[i].Tail = tails[0]
		if r.Limit > 0 {
			if out[i].Entries, err = l.After(ctx, r.Stream, r.After, r.Limit); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (l *memLog) tail(st protocol.Stream) protocol.Position {
	if es := l.streams[st]; len(es) > 0 {
		return es[len(es)-1].Pos
	}
	return protocol.Position{Epoch: l.fence}
}

// add appends a message and returns its place; the caller decides whether it is delivered.
func (l *memLog) add(st protocol.Stream, e *protocol.Envelope) arrival {
	l.mu.Lock()
	defer l.mu.Unlock()
	pos := l.tail(st)
	switch {
	case pos.Epoch < l.fence:
		pos = protocol.Position{Epoch: l.fence, Seq: 1}
	default:
		pos.Seq++
	}
	m, err := NewMessage(e.Encode())
	if err != nil {
		panic(err)
	}
	es := append(l.streams[st], Entry{pos, m})
	l.streams[st] = es[max(0, len(es)-l.keep):]
	return arrival{stream: st, pos: pos, fence: l.fence, msg: m}
}

// lose is a Redis that comes back without the end of its streams; the next message raises the epoch.
func (l *memLog) lose(st protocol.Stream, keep int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams[st] = slices.Clone(l.streams[st][:keep])
	l.fence++
}

func (l *memLog) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// rig is a hub with its log and a listener for clients.
type rig struct {
	t    *testing.T
	hub  *Hub
	log  *memLog
	addr string
	bus  sync.Mutex // of the one that delivers

	mu     sync.Mutex
	conns  map[string]*Conn // waiting for their sockets
	closed map[string][]protocol.Reason
	acked  map[string]map[protocol.Stream]protocol.Position
	lost   int
	heard  func() error // what asking for the subscription leads to; nil: it has brought everything
	asked  int          // how often it was asked for

	limited []Limit
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{
		t: t, log: newLog(), conns: make(map[string]*Conn), closed: make(map[string][]protocol.Reason),
		acked: make(map[string]map[protocol.Stream]protocol.Position),
	}
	o := Options{
		Log:   r.log,
		Final: func(*Conn) {},
		Closed: func(c *Conn, why protocol.Reason) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.closed[c.ID] = append(r.closed[c.ID], why)
		},
		Acked: func(c *Conn, pos map[protocol.Stream]protocol.Position) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.acked[c.ID] = pos
		},
		Heard: func(context.Context) error {
			r.mu.Lock()
			r.asked++
			heard := r.heard
			r.mu.Unlock()
			if heard == nil {
				return nil
			}
			return heard()
		},
		Input:        Input{Frames: 50, Bytes: 200 << 10, MaxMessage: 64 << 10},
		Limited:      func(l Limit) { r.mu.Lock(); r.limited = append(r.limited, l); r.mu.Unlock() },
		Lost:         func() { r.mu.Lock(); r.lost++; r.mu.Unlock() },
		PingInterval: time.Minute, PongTimeout: time.Minute, StartTimeout: time.Minute,
	}
	for _, f := range change {
		f(&o)
	}
	r.hub = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.hub.Run(ctx) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	srv := &http.Server{Handler: http.HandlerFunc(r.upgrade), ReadHeaderTimeout: patience}
	wg.Go(func() { _ = srv.Serve(smallBuffers{l}) })
	t.Cleanup(func() {
		srv.Close()
		end, stop := context.WithCancel(context.Background())
		stop() // cut everybody off
		r.hub.Drain(end, Handover{})
		if n := len(r.hub.Conns()); n > 0 {
			t.Errorf("%d connections are left", n)
		}
		cancel()
		wg.Wait()
	})
	// The node follows the broadcasts all the time.
	r.hub.Hold(protocol.AllStream())
	r.hub.Settle(protocol.AllStream(), at(10, 0))
	return r
}

// smallBuffers makes every peer that does not read a slow one soon.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
	}
	return c, err
}

const testCap = 32 << 10

func (r *rig) upgrade(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	c := r.conns[req.URL.Query().Get("conn")]
	r.mu.Unlock()
	hello := protocol.Hello{ClientID: c.ClientID, ConnID: c.ID, Ping: 25}.Frame()
	hs, ok := socket.ReadHandshake(req)
	s, answer, err := hs.Upgrade(w, socket.Options{
		MaxMessage: 64 << 10, OutboxCap: testCap, Handler: c, Hello: func() []byte { return hello },
	})
	if err != nil || !ok {
		c.Abandon()
		return
	}
	c.Open(s, answer)
}

// admit does what the bus does: hold, settle, register, attach.
func (r *rig) admit(i Info, groups ...string) *Conn {
	if i.Device == "" {
		i.Device = "default"
	}
	if i.Since == 0 {
		i.Since = time.Now().UnixMilli()
	}
	c := r.hub.Register(i)
	for _, g := range groups {
		st := protocol.GroupOf(g)
		r.hub.Hold(st)
		tail := r.tail(st)
		r.hub.Settle(st, tail)
		r.hub.Attach(c, st, &tail)
		r.hub.Release(st)
	}
	inbox := protocol.InboxOf(i.ClientID)
	r.hub.Hold(inbox)
	tail := r.tail(inbox)
	r.hub.Settle(inbox, tail)
	r.hub.Attach(c, inbox, &tail)
	r.hub.Release(inbox)
	r.hub.Attach(c, protocol.AllStream(), nil)
	return c
}

// verify compares with a log that answers.
func (r *rig) verify() {
	r.t.Helper()
	if err := r.hub.Verify(r.t.Context(), func(err error) { r.t.Error(err) }); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tail(st protocol.Stream) protocol.Position {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return r.log.tail(st)
}

// got is one frame as a client saw it.
type got struct {
	Type      string            `json:"type"`
	Stream    string            `json:"stream"`
	ID        string            `json:"id"`
	Group     string            `json:"group"`
	At        string            `json:"pos"`
	From, To  string            `json:"-"`
	Pos       map[string]string `json:"-"`
	Recovered map[string]bool   `json:"recovered"`
	Raw       string            `json:"-"`
}

func (g *got) UnmarshalJSON(b []byte) error {
	var f struct {
		Type, Stream, ID, Group, From, To string
		Pos                               json.RawMessage
		Recovered                         map[string]bool
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*g = got{Type: f.Type, Stream: f.Stream, ID: f.ID, Group: f.Group, From: f.From, To: f.To, Recovered: f.Recovered}
	if len(f.Pos) > 0 && f.Pos[0] == '{' {
		return json.Unmarshal(f.Pos, &g.Pos)
	} else if len(f.Pos) > 0 {
		return json.Unmarshal(f.Pos, &g.At)
	}
	return nil
}

// client is the other side.
type client struct {
	t    *testing.T
	conn *Conn
	ws   *websocket.Conn
	v1   bool

	mu   sync.Mutex
	all  []got
	seen map[string]int // messages and gaps by stream, "" for a raw client
	err  error
	done chan struct{} // nil until reading
}

// dial opens the socket of an admitted connection. Nothing is read before read is called.
func (r *rig) dial(c *Conn, v1 bool) *client {
	r.t.Helper()
	r.mu.Lock()
	r.conns[c.ID] = c
	r.mu.Unlock()
	d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) (err error) {
		return errors.Join(err, rc.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10)
		}))
	}}
	tr := &http.Transport{DialContext: d.DialContext}
	o := &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}}
	if v1 {
		o.Subprotocols = []string{protocol.Subprotocol}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, resp, err := websocket.Dial(ctx, "ws://"+r.addr+"/?conn="+c.ID, o)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	ws.SetReadLimit(-1)
	eventually(r.t, "the connection has its socket", c.Ready) // the answer came before
	k := &client{t: r.t, conn: c, ws: ws, v1: v1, seen: make(map[string]int)}
	r.t.Cleanup(func() {
		ws.CloseNow()
		if k.done != nil {
			<-k.done
		}
		tr.CloseIdleConnections()
	})
	return k
}

func (k *client) read() *client {
	k.done = make(chan struct{})
	go func() {
		defer close(k.done)
		for {
			_, b, err := k.ws.Read(context.Background())
			var g got
			if err == nil && k.v1 {
				err = json.Unmarshal(b, &g)
			}
			g.Raw = string(b)
			k.mu.Lock()
			if err != nil {
				k.err = err
				k.mu.Unlock()
				return
			}
			k.all = append(k.all, g)
			if !k.v1 || g.Type == "message" || g.Type == "gap" {
				k.seen[g.Stream]++
			}
			k.mu.Unlock()
		}
	}()
	return k
}

// connect admits, dials and reads; an imtier.v1 client has started when it returns.
func (r *rig) connect(id string, v1 bool, groups ...string) *client {
	r.t.Helper()
	r.mu.Lock()
	n := len(r.conns)
	r.mu.Unlock()
	k := r.dial(r.admit(Info{ClientID: id, ID: fmt.Sprintf("conn-%d", n)}, groups...), v1).read()
	if v1 {
		k.send(`{"type":"start"}`)
		k.wait("started", func(all []got) bool { return len(all) == 2 && all[1].Type == "started" })
	}
	return k
}

func (k *client) send(text string) {
	k.t.Helper()
	if err := k.ws.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		k.t.Fatal(err)
	}
}

func (k *client) frames() []got {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.all)
}

func (k *client) wait(what string, cond func([]got) bool) {
	k.t.Helper()
	defer func() {
		if k.t.Failed() {
			all := k.frames()
			for _, g := range all[max(0, len(all)-10):] {
				k.t.Logf("frame: %.200s", g.Raw)
			}
			k.t.Logf("of %d; read: %v", len(all), k.err)
		}
	}()
	eventually(k.t, what, func() bool { return cond(k.frames()) })
}

// ids lists the messages of a stream, and its gaps as "gap".
func (k *client) ids(stream string) []string {
	var out []string
	for _, g := range k.frames() {
		switch {
		case !k.v1:
			out = append(out, g.Raw)
		case g.Stream == stream && g.Type == "message":
			out = append(out, g.ID)
		case g.Stream == stream && g.Type == "gap":
			out = append(out, "gap "+g.From+" "+g.To)
		}
	}
	return out
}

// expect waits for the messages of a stream: these, in this order, and no others before.
func (k *client) expect(stream string, want ...string) {
	k.t.Helper()
	count := func() int {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.seen[stream]
	}
	defer func() {
		if k.t.Failed() {
			k.t.Logf("%d of %d messages; catch-up %d, %d bytes kept", count(), len(want), k.conn.catching.Load(), k.conn.sock.Queued())
		}
	}()
	eventually(k.t, fmt.Sprintf("%d messages of %q", len(want), stream), func() bool { return count() >= len(want) })
	if got := k.ids(stream); !slices.Equal(got, want) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		k.t.Errorf("%s: from %d on: got %q, want %q", stream, i, got[i:min(len(got), i+5)], want[i:min(len(want), i+5)])
	}
}

func (k *client) expectClose(code int) {
	k.t.Helper()
	select {
	case <-k.done:
	case <-time.After(patience):
		k.t.Fatalf("not closed, want %d", code)
	}
	if got := websocket.CloseStatus(k.err); int(got) != code {
		k.t.Errorf("closed with %v, want %d", k.err, code)
	}
}

func (r *rig) expectReason(connID string, want protocol.Reason) {
	r.t.Helper()
	eventually(r.t, "the end of "+connID, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.closed[connID]) > 0
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := r.closed[connID]; len(got) != 1 || got[0] != want {
		r.t.Errorf("%s ended with %v, want %v once", connID, got, want)
	}
}

func message(id string) *protocol.Envelope {
	return &protocol.Envelope{ID: id, Time: 1, Data: []byte(strconv.Quote(id))}
}

// publish appends and delivers.
func (r *rig) publish(st protocol.Stream, e *protocol.Envelope) protocol.Position {
	a := r.log.add(st, e)
	r.deliver(a)
	return a.pos
}

// deliver does what the subscription does with a message that came alone or, as often, among many.
func (r *rig) deliver(a arrival) {
	r.bus.Lock()
	defer r.bus.Unlock()
	if rand.IntN(2) == 0 {
		r.hub.aside.arrivals = maxAside
	}
	r.hub.Deliver(a.stream, a.pos, a.fence, a.msg)
	r.hub.Flush()
}

// drop appends without delivering.
func (r *rig) drop(st protocol.Stream, ids ...string) (last protocol.Position) {
	for _, id := range ids {
		last = r.log.add(st, message(id)).pos
	}
	return last
}

func numbers(prefix string, from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, prefix+strconv.Itoa(i))
	}
	return out
}
