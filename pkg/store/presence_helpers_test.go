package store

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// noGrace makes a client due to go offline as soon as its last connection closes.
const noGrace = -1

var ctxb = context.Background()

// session is a connection of a client with fresh names.
func session(s *Store, client string) Session {
	return Session{
		JTI: protocol.NewID(), JTITTL: time.Minute,
		ClientID: client, ConnID: protocol.NewConnID(s.Partition(client)),
		Node: "n1", Device: "web", IP: "192.0.2.1",
	}
}

// connect connects and expects success.
func connect(t testing.TB, s *Store, se Session, policy DevicePolicy) *Connected {
	t.Helper()
	se.Policy = policy
	c, err := s.Connect(ctxb, se)
	if err != nil {
		t.Fatalf("connect %s: %v", se.ClientID, err)
	}
	return c
}

// wantRestored restores connections and expects that none has to be closed.
func wantRestored(t testing.TB, s *Store, sessions []Session) {
	t.Helper()
	ended, err := s.Restore(ctxb, sessions)
	must(t, err)
	if len(ended) > 0 {
		t.Fatalf("to be closed: %+v", ended)
	}
}

func disconnect(t testing.TB, s *Store, gone ...Session) {
	t.Helper()
	for _, se := range gone {
		if err := s.Disconnect(ctxb, se.Node, []ConnRef{{ClientID: se.ClientID, ConnID: se.ConnID}}); err != nil {
			t.Fatalf("disconnect: %v", err)
		}
	}
}

// strikeOff takes a node's connections off the register, as a janitor does when its lease has run out.
func strikeOff(t testing.TB, s *Store, node string) {
	t.Helper()
	expireLease(t, s, node)
	must(t, s.reap(ctxb, []string{node}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clientOf looks a client up.
func clientOf(t testing.TB, s *Store, id string) *ClientInfo {
	t.Helper()
	info, err := s.Client(ctxb, id)
	must(t, err)
	return info
}

func connIDs(info *ClientInfo) []string {
	var ids []string
	for _, c := range info.Connections {
		ids = append(ids, c.ConnID)
	}
	slices.Sort(ids)
	return ids
}

// eventsIn returns all stored events of a client, in order, without their seq.
func eventsIn(t testing.TB, s *Store, client string) []Event {
	t.Helper()
	p := s.Partition(client)
	rows, err := s.do(ctxb, s.client.B().Xrange().Key(s.keys.events(p)).Start("-").End("+").Build()).AsXRange()
	must(t, err)
	var out []Event
	for _, row := range rows {
		e, err := parseEvent(p, row.ID, row.FieldValues[eventField])
		must(t, err)
		if e.ClientID == client {
			out = append(out, e)
		}
	}
	return out
}

// typesIn is eventsIn reduced to what happened.
func typesIn(t testing.TB, s *Store, client string) []string {
	t.Helper()
	types := []string{}
	for _, e := range eventsIn(t, s, client) {
		text := e.Type
		if e.Group != "" {
			text += " " + e.Group
		}
		types = append(types, text)
	}
	return types
}

func wantEqual[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	g, err := json.Marshal(got)
	must(t, err)
	w, err := json.Marshal(want)
	must(t, err)
	if string(g) != string(w) {
		t.Fatalf("%s:\ngot  %.500s\nwant %.500s", what, g, w)
	}
}

// pushEar collects the pushes of some channels.
type pushEar struct {
	mu     sync.Mutex
	pushes []*protocol.Push
}

func (e *pushEar) Message(_ string, payload []byte) {
	p, err := protocol.DecodePush(payload)
	if err != nil {
		panic("undecodable push " + strconv.Quote(string(payload)))
	}
	e.mu.Lock()
	e.pushes = append(e.pushes, p)
	e.mu.Unlock()
}
func (e *pushEar) Lost(error) {}
func (e *pushEar) Restored()  {}

func (e *pushEar) heard() []*protocol.Push {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.pushes)
}

// lines are the pushes as they went over the channel.
func (e *pushEar) lines() []string {
	out := []string{}
	for _, p := range e.heard() {
		out = append(out, string(p.Encode()))
	}
	return out
}

// subscribeWithin is how long a subscription may take on a busy machine.
const subscribeWithin = 20 * time.Second

// listen subscribes to the client channel of an address' partition, and to its group channel.
func listen(t testing.TB, s *Store, addrs ...string) *pushEar {
	t.Helper()
	var channels []string
	for _, a := range addrs {
		channels = append(channels, s.ClientChannel(s.Partition(a)), s.GroupChannel(s.Partition(a)))
	}
	return listenTo(t, s, channels...)
}

// listenTo subscribes to channels.
func listenTo(t testing.TB, s *Store, channels ...string) *pushEar {
	t.Helper()
	e := &pushEar{}
	sub := s.NewSubscriber(e)
	ctx, cancel := context.WithCancel(ctxb)
	done := make(chan struct{})
	go func() { defer close(done); _ = sub.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	soon, end := context.WithTimeout(ctx, subscribeWithin)
	defer end()
	for _, c := range channels {
		must(t, sub.Subscribe(soon, c))
	}
	return e
}

// indexOf returns who the index says is in a group.
func indexOf(t testing.TB, s *Store, group string) []string {
	t.Helper()
	ids := []string{}
	for cursor := ""; ; {
		members, next, err := s.Members(ctxb, group, cursor, 0)
		must(t, err)
		for _, m := range members {
			ids = append(ids, m.ClientID)
		}
		if cursor = next; next == "" {
			break
		}
	}
	return ids
}

// marks returns how many membership changes are unfinished.
func marks(t testing.TB, s *Store) int {
	t.Helper()
	total := 0
	for _, p := range s.allPartitions() {
		n, err := s.do(ctxb, s.client.B().Hlen().Key(s.keys.unsynced(p)).Build()).AsInt64()
		must(t, err)
		total += int(n)
	}
	return total
}

// age makes all marks look old enough for the janitor.
func age(t testing.TB, s *Store) {
	t.Helper()
	for _, p := range s.allPartitions() {
		key := s.keys.unsynced(p)
		fields, err := s.do(ctxb, s.client.B().Hkeys().Key(key).Build()).AsStrSlice()
		must(t, err)
		for _, f := range fields {
			must(t, s.do(ctxb, s.client.B().Hset().Key(key).FieldValue().FieldValue(f, "1").Build()).Error())
		}
	}
}

// empty is where a stream ends in which nothing has been written.
func empty(t testing.TB, s *Store, st protocol.Stream) protocol.Position {
	t.Helper()
	tails, err := s.Tails(ctxb, []protocol.Stream{st})
	must(t, err)
	return protocol.Position{Epoch: tails[0].Fence}
}
