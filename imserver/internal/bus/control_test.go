package bus

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/imserver/internal/socket"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// member is a raw client who is in the group chess, and what it has been given.
type member struct {
	*stand
	conn *hub.Conn

	mu  sync.Mutex
	all []string
}

// newMember connects ann. Nobody acts on joins and leaves yet; interrupt ends the subscription.
func newMember(t *testing.T) (m *member, interrupt func()) {
	t.Helper()
	s := newStand(t)
	m = &member{stand: s}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.hub.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	interrupt = s.begin(t)
	if _, err := s.store.Join(ctx, "chess", []string{"ann"}, store.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	se := s.session("ann")
	se.Positions = false
	m.conn = s.admit(t, se)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handshake, _ := socket.ReadHandshake(r)
		sock, answer, err := handshake.Upgrade(w, socket.Options{MaxMessage: 1 << 10, OutboxCap: 1 << 20, Handler: m.conn})
		if err != nil {
			t.Error(err)
			return
		}
		m.conn.Open(sock, answer)
	}))
	t.Cleanup(srv.Close)
	ws, resp, err := websocket.Dial(ctx, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			_, b, err := ws.Read(context.Background())
			if err != nil {
				return
			}
			m.mu.Lock()
			m.all = append(m.all, strings.Trim(string(b), `"`))
			m.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = ws.CloseNow()
		reader.Wait()
		eventually(t, "the connection's end", func() bool { return len(s.hub.Conns()) == 0 })
	})
	m.says(t, "before")
	m.expect(t, "before")
	return m, interrupt
}

// says sends a message to the group.
func (m *member) says(t *testing.T, id string) {
	t.Helper()
	e := &protocol.Envelope{ID: id, Time: 1, Data: []byte(strconv.Quote(id))}
	if _, err := m.store.PublishGroup(t.Context(), e, "chess", false); err != nil {
		t.Fatal(err)
	}
}

// expect waits until these have been given, and no others.
func (m *member) expect(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	eventually(t, fmt.Sprint(want), func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		got = slices.Clone(m.all)
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("given %q, want %q", got, want)
	}
}

// directly gives a message that is addressed to the client, behind all that it has been given, and expects that this was all.
func (m *member) directly(t *testing.T, want ...string) {
	t.Helper()
	e := &protocol.Envelope{ID: "direct", Time: 1, Data: []byte(`"direct"`)}
	if _, err := m.store.PublishInbox(t.Context(), e, []string{"ann"}, false); err != nil {
		t.Fatal(err)
	}
	m.expect(t, append(want, "direct")...)
}

// announce publishes that the client has left, or may have, where the group ends now.
func (m *member) announce(t *testing.T, kind protocol.PushKind) {
	t.Helper()
	tails, err := m.store.Tails(t.Context(), []protocol.Stream{protocol.GroupOf("chess")})
	if err != nil {
		t.Fatal(err)
	}
	p := protocol.Push{Kind: kind, ClientID: "ann", Group: "chess", Pos: tails[0].Pos, Ends: true}
	channel := m.store.GroupChannel(m.store.Partition("chess"))
	if kind == protocol.PushLeave {
		channel = m.store.ClientChannel(m.store.Partition("ann"))
	}
	m.redis.Do("PUBLISH", channel, string(p.Encode()))
	if err := m.sub.Heard(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// leaves does the first step of a leave: the truth.
func (m *member) leaves(t *testing.T) {
	t.Helper()
	keys := m.redis.List("KEYS", "*:groups:ann")
	if len(keys) != 1 || m.redis.Do("HDEL", keys[0], "chess") != ":1" {
		t.Fatalf("memberships in %q", keys)
	}
}

// However late the word of a leave is, nothing that is sent after what announces it is given.
func TestWhoMayHaveLeftAndHasIsGivenNothing(t *testing.T) {
	m, _ := newMember(t)
	m.acting(t)
	m.leaves(t)
	m.announce(t, protocol.PushUnsure)
	for i := range 20 {
		m.says(t, fmt.Sprint("after", i))
		if err := m.sub.Heard(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	m.directly(t, "before")
	eventually(t, "it has left", func() bool { return len(groupsOf(m.conn)) == 0 })
	m.announce(t, protocol.PushLeave) // finds nothing to do
}

// The same when the word of it comes at once, and the worker has not begun.
func TestWhoMayHaveLeftAndIsSaidToHave(t *testing.T) {
	m, _ := newMember(t)
	m.announce(t, protocol.PushUnsure)
	m.says(t, "after")
	m.announce(t, protocol.PushLeave) // of a membership that is to be found again: the word decides
	m.says(t, "later")
	m.acting(t)
	eventually(t, "it has left", func() bool { return len(groupsOf(m.conn)) == 0 })
	m.directly(t, "before")
}

func TestWhoMayHaveLeftAndHasNot(t *testing.T) {
	m, _ := newMember(t)
	m.acting(t)
	for i := range 20 {
		m.announce(t, protocol.PushUnsure)
		m.says(t, fmt.Sprint("after", i))
	}
	want := []string{"before"}
	for i := range 20 {
		want = append(want, fmt.Sprint("after", i))
	}
	m.expect(t, want...)
}

// What finds no place is found by comparing, and the group is withheld until then.
func TestWhoMayHaveLeftWhileTooMuchHappens(t *testing.T) {
	for _, left := range []bool{false, true} {
		t.Run(fmt.Sprint("left: ", left), func(t *testing.T) {
			m, _ := newMember(t)
			for range controlQueue {
				m.control.queue("ann") <- task{push: &protocol.Push{Kind: protocol.PushRevoke, JTI: "none"}}
			}
			if left {
				m.leaves(t)
			}
			m.announce(t, protocol.PushUnsure)
			m.says(t, "after")
			m.directly(t, "before")
			m.acting(t)
			<-m.clients.asked
			if err := m.compareClients(t.Context(), func(err error) { t.Error(err) }); err != nil {
				t.Fatal(err)
			}
			if left {
				m.directly(t, "before", "direct")
			} else {
				m.expect(t, "before", "direct", "after")
			}
		})
	}
}

// The same for who cannot be asked about, or when the word of the leave may have been missed.
func TestWhoMayHaveLeftWhenThatIsNotHeard(t *testing.T) {
	m, interrupt := newMember(t)
	m.announce(t, protocol.PushUnsure)
	m.says(t, "after")
	m.directly(t, "before")
	interrupt()
	m.acting(t)
	<-m.clients.asked
	m.expect(t, "before", "direct")
	if err := m.compareClients(t.Context(), func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	m.expect(t, "before", "direct", "after")
}
