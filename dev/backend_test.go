package dev

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"github.com/imtier/imtier/internal/settings"
	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
)

// screen is where imdev prints.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// backend starts imdev, does what it says with export, and is a backend then that knows no more than its environment.
func backend(t *testing.T) *imhelper.Helper {
	t.Helper()
	var cfg Config
	set := settings.New("imdev")
	cfg.Register(set)
	if err := set.Parse([]string{"--web-listen=127.0.0.1:0", "--node-listen=127.0.0.1:0"}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var out screen
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, zap.NewNop(), &out) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "it runs", func() bool { return strings.Contains(out.String(), "Ctrl-C") })
	for line := range strings.Lines(out.String()) {
		assignments, ok := strings.CutPrefix(strings.TrimSpace(line), "export ")
		for _, a := range strings.Fields(assignments) {
			if name, value, _ := strings.Cut(a, "="); ok {
				t.Setenv(name, value)
			}
		}
	}
	if os.Getenv("IM_REDIS_URL") == "" {
		t.Fatalf("it does not say how to be a backend:\n%s", out.String())
	}
	o, err := imhelper.OptionsFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	h, err := imhelper.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// page is a client whose URL the backend made.
func page(t *testing.T, h *imhelper.Helper, clientID string) *peer {
	t.Helper()
	u, err := h.PreConnect(t.Context(), imhelper.ConnectRequest{ClientID: clientID, MayRequest: true})
	if err != nil {
		t.Fatal(err)
	}
	ws, resp, err := websocket.Dial(t.Context(), u.URL, &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{protocol.Subprotocol}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	p := &peer{t: t, ws: ws, done: make(chan struct{})}
	go p.read(true)
	t.Cleanup(p.leave)
	p.send(`{"type":"start"}`)
	p.wait("started", func() bool { return p.count("started") == 1 })
	return p
}

// consume runs one of the Helper's blocking methods until the test ends.
func consume(t *testing.T, run func(ctx context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// What imdev prints is all that a backend needs in order to use its embedded Redis, for everything that it may do.
func TestABackendUsesTheEmbeddedRedis(t *testing.T) {
	h := backend(t)
	ready := make(chan struct{})
	events := make(chan imhelper.Event, 100)
	consume(t, func(ctx context.Context) error {
		return h.Events(ctx, "test", func(_ context.Context, e imhelper.Event) error { events <- e; return nil },
			imhelper.Ready(func() { close(ready) }))
	})
	consume(t, func(ctx context.Context) error {
		return h.Handle(ctx, "test", func(_ context.Context, r imhelper.Request) (any, error) { return r.Data, nil })
	})
	<-ready
	alice := page(t, h, "alice")
	online, err := h.Online(t.Context(), "alice", "bob")
	if err != nil || !online["alice"] || online["bob"] {
		t.Errorf("online: %v, %v", online, err)
	}
	var sent sync.WaitGroup
	sent.Go(func() {
		r, err := h.Send(t.Context(), imhelper.Message{To: []string{"alice"}, Data: json.RawMessage(`"hi"`), Wait: 20 * time.Second})
		if err != nil || r.Results[0].State != imhelper.StateDelivered {
			t.Errorf("sent: %+v, %v", r, err)
		}
	})
	alice.ack(1)
	sent.Wait()
	if _, err := h.Join(t.Context(), "alice", "room"); err != nil {
		t.Error(err)
	}
	if _, err := h.SendGroup(t.Context(), imhelper.GroupMessage{Group: "room", Data: json.RawMessage(`"all"`)}); err != nil {
		t.Error(err)
	}
	alice.wait("the group's message", func() bool { return alice.count("message") == 2 })
	alice.send(`{"type":"request","id":"r1","data":{"a":1}}`)
	alice.wait("the reply", func() bool { return strings.Contains(strings.Join(alice.texts(), ""), `"id":"r1","data":{"a":1}`) })
	for _, want := range []string{imhelper.EventOnline, imhelper.EventJoin} {
		select {
		case e := <-events:
			if e.Type != want || e.ClientID != "alice" {
				t.Errorf("event %+v, want %s", e, want)
			}
		case <-time.After(patience):
			t.Fatalf("no %s", want)
		}
	}
}

// As in docs/recipes.md: a backend passes on to a client's contacts that it comes and goes.
func TestContactsAreTold(t *testing.T) {
	h := backend(t)
	contacts := map[string][]string{"alice": {"bob"}, "bob": {"alice", "carl"}}
	ready := make(chan struct{})
	consume(t, func(ctx context.Context) error {
		return h.Events(ctx, "contacts", func(ctx context.Context, e imhelper.Event) (err error) {
			if e.Type != imhelper.EventOnline && e.Type != imhelper.EventOffline || len(contacts[e.ClientID]) == 0 {
				return nil
			}
			data, _ := json.Marshal(msg{"type": "presence", "clientId": e.ClientID, "online": e.Type == imhelper.EventOnline})
			_, err = h.Send(ctx, imhelper.Message{To: contacts[e.ClientID], Data: data, Ephemeral: true})
			return err
		}, imhelper.Ready(func() { close(ready) }))
	})
	<-ready
	alice := page(t, h, "alice")
	told := func() (all string) {
		for _, text := range alice.texts() {
			if _, data, ok := strings.Cut(text, `"data":`); ok {
				all += data
			}
		}
		return all
	}
	bob := page(t, h, "bob")
	const online, offline = `{"clientId":"bob","online":true,"type":"presence"}}`, `{"clientId":"bob","online":false,"type":"presence"}}`
	alice.wait("bob is online", func() bool { return told() == online })
	bob.leave()
	alice.wait("bob is offline", func() bool { return told() == online+offline })
}
