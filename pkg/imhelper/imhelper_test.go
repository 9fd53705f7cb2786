package imhelper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKeys = "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

func start(t *testing.T, change ...func(*Options)) (*Helper, *redistest.Server) {
	t.Helper()
	redis := redistest.Start(t)
	o := Options{RedisURL: redis.URL(), SigningKeys: testKeys, Partitions: 16, MaxMessage: 1024}
	for _, c := range change {
		c(&o)
	}
	h, err := New(t.Context(), o)
	for end := time.Now().Add(20 * time.Second); errors.Is(err, ErrUnavailable) && time.Now().Before(end); { // a busy machine
		h, err = New(t.Context(), o)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h, redis
}

func (h *Helper) register(t *testing.T, redis *redistest.Server, id, url string) {
	t.Helper()
	if _, err := h.store.RenewNode(t.Context(), store.Node{ID: id, URL: url, Started: time.Now(), Conns: 3}); err != nil {
		t.Fatal(err)
	}
	redis.KeepNode(id)
	h.nodes.forget()
}

func (h *Helper) online(t *testing.T, clientID string) (connID string) {
	t.Helper()
	connID = protocol.NewConnID(h.store.Partition(clientID))
	if _, err := h.store.Connect(t.Context(), store.Session{
		JTI: connID, JTITTL: time.Minute, ClientID: clientID, ConnID: connID, Node: "n", Device: "web", Since: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	return connID
}

func TestErrorsCanBeToldApart(t *testing.T) {
	h, redis := start(t, func(o *Options) {
		o.OnSend = func(_ context.Context, s Sending) error {
			if s.From == "spammer" {
				return errors.ErrUnsupported
			}
			return nil
		}
	})
	ctx := t.Context()
	one := json.RawMessage("1")
	send := func(m Message) error { _, err := h.Send(ctx, m); return err }
	for _, c := range []struct {
		name  string
		err   error
		want  error
		field string
	}{
		{"no receiver", send(Message{Data: one}), ErrInvalid, "to"},
		{"too big", send(Message{To: []string{"a"}, Data: json.RawMessage(`"` + strings.Repeat("x", 1024) + `"`)}), ErrTooBig, "data"},
		{"too big is invalid", send(Message{To: []string{"a"}, Binary: make([]byte, 1025)}), ErrInvalid, "binary"},
		{"not JSON", send(Message{To: []string{"a"}, Data: json.RawMessage("{")}), ErrInvalid, "data"},
		{"bad UTF-8", send(Message{To: []string{"a"}, Data: json.RawMessage("\"\xff\"")}), ErrInvalid, "data"},
		{"half a second", send(Message{To: []string{"a"}, Data: one, TTL: time.Second / 2}), ErrInvalid, "ttl"},
		{"vetoed", send(Message{To: []string{"a"}, From: "spammer", Data: one}), ErrVetoed, ""},
		{"vetoed with the cause", send(Message{To: []string{"a"}, From: "spammer", Data: one}), errors.ErrUnsupported, ""},
		{"no node", second(h.PreConnect(ctx, ConnectRequest{ClientID: "a"})), ErrNoNode, ""},
		{"no such node", h.Drain(ctx, "x"), ErrNotFound, ""},
		{"no such connection", h.CloseConnection(ctx, protocol.NewConnID(1)), ErrNotFound, ""},
		{"no connection", h.CloseConnection(ctx, "?"), ErrNotFound, ""},
		{"no groups", second(h.Join(ctx, "a")), ErrInvalid, "groups"},
		{"bad group", second(h.Leave(ctx, "a", "g", "")), ErrInvalid, "groups[1]"},
		{"no clients", second(h.JoinGroup(ctx, "g")), ErrInvalid, "clientIds"},
		{"bad client", second(h.LeaveGroup(ctx, "g", "\n")), ErrInvalid, "clientIds"},
		{"bad stream", second(h.History(ctx, protocol.GroupOf(""), HistoryQuery{})), ErrInvalid, "group"},
		{"bad limit", second(h.History(ctx, protocol.AllStream(), HistoryQuery{Limit: -1})), ErrInvalid, "limit"},
		{"bad consumer group", h.Events(ctx, "", nil), ErrInvalid, "group"},
		{"bad policy", second(h.PreConnect(ctx, ConnectRequest{ClientID: "a", Policy: "two"})), ErrInvalid, "policy"},
		{"revoke nobody", second(h.Revoke(ctx, Revocation{For: time.Minute})), ErrInvalid, "clientId"},
		{"revoke a bad name", second(h.Revoke(ctx, Revocation{ClientID: "a\n", For: time.Minute})), ErrInvalid, "clientId"},
		{"revoke a bad URL", second(h.Revoke(ctx, Revocation{JTI: strings.Repeat("j", 65), For: time.Minute})), ErrInvalid, "jti"},
		{"revoke for a negative time", second(h.Revoke(ctx, Revocation{JTI: "j", For: -1})), ErrInvalid, "minutes"},
		{"revoke for ever", second(h.Revoke(ctx, Revocation{JTI: "j", For: 10 * MaxRevocation})), ErrInvalid, "minutes"},
		{"empty batch", second(h.Batch(ctx, nil)), ErrInvalid, "sends"},
	} {
		var f *FieldError
		if !errors.Is(c.err, c.want) || errors.As(c.err, &f) != (c.field != "") || f != nil && f.Field != c.field {
			t.Errorf("%s: %v", c.name, c.err)
		}
	}
	redis.Kill()
	if _, err := h.Revoke(ctx, Revocation{ClientID: "a", For: time.Minute}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("redis is gone: %v", err)
	}
	if err := send(Message{To: []string{"a"}, Data: one}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("redis is gone: %v", err)
	}
	if _, err := h.PreConnect(ctx, ConnectRequest{ClientID: "a"}); !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrNoNode) {
		t.Errorf("redis is gone: %v", err)
	}
}

// second drops a result.
func second[T any](_ T, err error) error { return err }

func TestNewSaysWhatIsWrong(t *testing.T) {
	redis := redistest.Start(t)
	if _, err := New(t.Context(), Options{RedisURL: redis.URL(), SigningKeys: "x"}); err == nil {
		t.Error("bad keys are accepted")
	}
	h, err := New(t.Context(), Options{RedisURL: redis.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := h.PreConnect(t.Context(), ConnectRequest{ClientID: "a"}); !errors.Is(err, ErrNoKeys) {
		t.Errorf("without keys: %v", err)
	}
	if _, err := New(t.Context(), Options{RedisURL: redis.URL(), Partitions: 4}); !errors.Is(err, ErrPartitionMismatch) {
		t.Errorf("other partitions: %v", err)
	}
	redis.Kill()
	if _, err := New(t.Context(), Options{RedisURL: redis.URL()}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no redis: %v", err)
	}
}

func TestPreConnectSpreadsPartitionsAndMovesFew(t *testing.T) {
	nodes := func(n int) (all []store.Node) {
		for i := range n {
			all = append(all, store.Node{ID: fmt.Sprintf("node-%d", i)})
		}
		return all
	}
	const parts = 256
	won := map[string]int{}
	for p := range parts {
		n, _ := store.PickNode(nodes(4), p)
		won[n.ID]++
	}
	for id, n := range won {
		if n < parts/8 || n > parts/2 {
			t.Errorf("%s has %d of %d partitions", id, n, parts)
		}
	}
	moved := 0
	for p := range parts {
		before, _ := store.PickNode(nodes(4), p)
		after, _ := store.PickNode(nodes(5), p)
		if before.ID != after.ID {
			moved++
			if after.ID != "node-4" {
				t.Errorf("partition %d moved from %s to %s, which was there before", p, before.ID, after.ID)
			}
		}
	}
	if moved == 0 || moved > parts/2 || len(won) != 4 {
		t.Errorf("a fifth node got %d of %d partitions; %v", moved, parts, won)
	}
}

func TestPreConnectFollowsTheNodes(t *testing.T) {
	h, redis := start(t)
	h.register(t, redis, "a", "wss://a.test/ws?zone=1")
	c, err := h.PreConnect(t.Context(), ConnectRequest{ClientID: "alice", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	token, ok := strings.CutPrefix(c.URL, "wss://a.test/ws?zone=1&token=")
	keys, _ := ticket.ParseKeys(testKeys)
	claims, err := keys.Verify(token)
	if !ok || err != nil || c.Node != "a" || !claims.ExpiresAt.Equal(c.ExpiresAt.Truncate(time.Millisecond)) {
		t.Errorf("%+v: %+v, %v", c, claims, err)
	}
	if err := h.Drain(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.PreConnect(t.Context(), ConnectRequest{ClientID: "alice"}); !errors.Is(err, ErrNoNode) {
		t.Errorf("a draining node: %v", err)
	}
	groups := make([]string, 60)
	for i := range groups {
		groups[i] = fmt.Sprintf("%0128d", i)
	}
	h.register(t, redis, "b", "ws://b.test/ws")
	if _, err := h.PreConnect(t.Context(), ConnectRequest{ClientID: "alice", Groups: groups}); !errors.Is(err, ErrTooBig) {
		t.Errorf("a URL that is too long: %v", err)
	}
}

func TestNodesAreReadOnceForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int32
		release := make(chan struct{})
		c := nodeCache{fetch: func(ctx context.Context) ([]store.Node, error) {
			reads.Add(1)
			<-release
			return []store.Node{{ID: "a"}}, ctx.Err()
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				use := t.Context()
				if i == 0 {
					use = ctx
				}
				nodes, err := c.live(use)
				if use != ctx && (err != nil || len(nodes) != 1) {
					t.Errorf("%v, %v", nodes, err)
				}
			})
		}
		synctest.Wait() // all have asked
		cancel()
		close(release)
		wg.Wait()
		if n := reads.Load(); n != 1 {
			t.Errorf("%d readings, want 1", n)
		}
	})
}

func TestOnSendSeesEveryMessageOnce(t *testing.T) {
	var mu sync.Mutex
	var seen []Sending
	h, _ := start(t, func(o *Options) {
		o.OnSend = func(_ context.Context, s Sending) error {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, s)
			if s.Kind == Broadcast {
				return errors.New("no broadcasts")
			}
			return nil
		}
	})
	ctx := t.Context()
	if _, err := h.Send(ctx, Message{To: []string{"a", "b", "a"}, From: "c", Data: json.RawMessage("1"), Echo: true}); err != nil {
		t.Fatal(err)
	}
	r, err := h.Batch(ctx, []BatchItem{
		{Group: &GroupMessage{Group: "g", Binary: []byte("x"), Ephemeral: true}},
		{Broadcast: &BroadcastMessage{Data: json.RawMessage("2")}},
		{Direct: &Message{To: []string{"a"}, Data: json.RawMessage("3")}},
		{},
	})
	if err != nil || r[0].Err != nil || !errors.Is(r[1].Err, ErrVetoed) || r[2].Direct == nil || !errors.Is(r[3].Err, ErrInvalid) {
		t.Fatalf("%+v, %v", r, err)
	}
	if len(seen) != 4 || !slices.Equal(seen[0].To, []string{"a", "b"}) || seen[1].Group != "g" || string(seen[1].Binary) != "x" || !seen[1].Ephemeral {
		t.Errorf("seen %+v", seen)
	}
	hist, err := h.History(ctx, protocol.AllStream(), HistoryQuery{})
	if err != nil || len(hist.Messages) != 0 {
		t.Errorf("a vetoed message was sent: %+v, %v", hist, err)
	}
}

func TestPruneGroupRemovesWhoIsOffline(t *testing.T) {
	h, _ := start(t)
	ctx := t.Context()
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprintf("off-%d", i)
	}
	for _, join := range [][]string{ids, {"on-1", "on-2"}} {
		if _, err := h.JoinGroup(ctx, "g", join...); err != nil {
			t.Fatal(err)
		}
	}
	h.online(t, "on-1")
	h.online(t, "on-2")
	if n, err := h.GroupOnline(ctx, "g"); err != nil || n != 2 {
		t.Errorf("%d online, %v", n, err)
	}
	if n, err := h.PruneGroup(ctx, "g"); err != nil || n != 1000 {
		t.Errorf("removed %d, %v", n, err)
	}
	members, next, err := h.GroupMembers(ctx, "g", "", 0)
	if err != nil || next != "" || !slices.Equal(members, []Member{{"on-1", true}, {"on-2", true}}) {
		t.Errorf("left: %v, %v", members, err)
	}
}

func TestMembershipsAndPresence(t *testing.T) {
	h, redis := start(t)
	ctx := t.Context()
	if n, err := h.Join(ctx, "a", "g1", "g2", "g1"); err != nil || n != 2 {
		t.Errorf("joined %d, %v", n, err)
	}
	if n, err := h.JoinUntilOffline(ctx, "a", "g3"); err != nil || n != 1 {
		t.Errorf("joined %d, %v", n, err)
	}
	if n, err := h.Leave(ctx, "a", "g2", "none"); err != nil || n != 1 {
		t.Errorf("left %d, %v", n, err)
	}
	groups, err := h.GroupsOf(ctx, "a")
	slices.Sort(groups)
	if err != nil || !slices.Equal(groups, []string{"g1", "g3"}) {
		t.Errorf("in %v, %v", groups, err)
	}
	h.register(t, redis, "n", "ws://n.test/ws")
	conn := h.online(t, "a")
	on, err := h.Online(ctx, "a", "b")
	if err != nil || !on["a"] || on["b"] || len(on) != 2 {
		t.Errorf("online %v, %v", on, err)
	}
	if n, err := h.ForceOffline(ctx, "a", "tv"); err != nil || n != 0 {
		t.Errorf("closed %d, %v", n, err)
	}
	if err := h.CloseConnection(ctx, conn); err != nil {
		t.Error(err)
	}
}

func TestEventsReachOneOfTheGroup(t *testing.T) {
	h, _ := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan Event, 16)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			err := h.Events(ctx, "backend", func(_ context.Context, e Event) error {
				got <- e
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		})
	}
	// The group begins with what happens once it exists: join until the first event comes.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for i, done := 0, false; !done; i++ {
		if _, err := h.Join(ctx, "a", fmt.Sprintf("g%d", i)); err != nil {
			t.Fatal(err)
		}
		select {
		case e := <-got:
			done = true
			if e.Type != "join" || e.ClientID != "a" || e.Group == "" || e.Seq == 0 {
				t.Errorf("event %+v", e)
			}
		case <-tick.C:
		case <-deadline:
			t.Fatal("no event within 30 s")
		}
	}
	cancel()
	go func() { // whoever is still handing over
		for range got {
		}
	}()
	wg.Wait()
	close(got)
}

func TestEchoGoesToTheSendersInbox(t *testing.T) {
	h, _ := start(t)
	r, err := h.Send(t.Context(), Message{To: []string{"a"}, From: "b", Data: json.RawMessage("1"), Echo: true})
	if err != nil || len(r.Results) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, id := range []string{"a", "b"} {
		hist, err := h.History(t.Context(), protocol.InboxOf(id), HistoryQuery{})
		if err != nil || len(hist.Messages) != 1 || hist.Messages[0].ID != r.ID {
			t.Errorf("%s has %+v, %v", id, hist, err)
		}
	}
}
