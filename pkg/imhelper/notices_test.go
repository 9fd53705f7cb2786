package imhelper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// ear hears what is published to groups.
type ear struct {
	mu   sync.Mutex
	said []Notice
	ids  map[string]bool
}

func (e *ear) Message(_ string, payload []byte) {
	p, err := protocol.DecodePush(payload)
	if err != nil || p.Kind != protocol.PushEphemeral {
		return
	}
	env, err := protocol.DecodeEnvelope(p.Envelope)
	var n Notice
	if err != nil || json.Unmarshal(env.Data, &n) != nil || env.From != n.ClientID || !env.ExceptSender || n.Time == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said = append(e.said, Notice{Type: n.Type, Group: n.Group, ClientID: n.ClientID})
	e.ids[env.ID] = true
}

func (e *ear) Lost(error) {}
func (e *ear) Restored()  {}

func (e *ear) heard(n Notice) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.said {
		if s == n {
			return true
		}
	}
	return false
}

func TestGroupsThatWantItAreToldWhoComesAndGoes(t *testing.T) {
	h, _ := start(t)
	e := &ear{ids: make(map[string]bool)}
	sub := h.store.NewSubscriber(e)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = sub.Run(ctx) })
	for range 2 { // as two webapis do
		wg.Go(func() {
			if err := h.SendNotices(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		})
	}
	defer func() { cancel(); wg.Wait() }()
	var channels []string
	for p := range h.store.Partitions() {
		channels = append(channels, h.store.GroupChannel(p))
	}
	if err := sub.Subscribe(ctx, channels...); err != nil {
		t.Fatal(err)
	}
	if err := h.SetGroup(ctx, "room", GroupOptions{Notices: true}); err != nil {
		t.Fatal(err)
	}
	join := func(id string) {
		for _, g := range []string{"quiet", "room"} {
			if _, err := h.Join(ctx, id, g); err != nil {
				t.Fatal(err)
			}
		}
	}
	for deadline, n := time.Now().Add(20*time.Second), 0; !e.heard(Notice{Type: "enter", Group: "room", ClientID: fmt.Sprint("probe", n)}); {
		if time.Now().After(deadline) {
			t.Fatal("no notice came")
		}
		n++
		join(fmt.Sprint("probe", n))
		for wait := time.Now().Add(300 * time.Millisecond); time.Now().Before(wait) && !e.heard(Notice{Type: "enter", Group: "room", ClientID: fmt.Sprint("probe", n)}); {
			<-time.After(10 * time.Millisecond)
		}
	}
	join("ann")
	if _, err := h.Leave(ctx, "ann", "room", "quiet"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); !e.heard(Notice{Type: "exit", Group: "room", ClientID: "ann"}); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody was told that ann left")
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.said {
		if s.Group != "room" {
			t.Errorf("a group that did not ask was told %+v", s)
		}
	}
	if len(e.ids) != len(e.said) {
		t.Errorf("%d notices, %d ids", len(e.said), len(e.ids))
	}
}

func TestGroupOptionsLastUntilTheGroupIsDissolved(t *testing.T) {
	h, _ := start(t)
	ctx := t.Context()
	expect := func(want bool) {
		t.Helper()
		if o, err := h.GroupOptions(ctx, "g"); err != nil || o.Notices != want {
			t.Errorf("%+v, %v; want %v", o, err, want)
		}
	}
	for _, on := range []bool{true, false, true} {
		if err := h.SetGroup(ctx, "g", GroupOptions{Notices: on}); err != nil {
			t.Fatal(err)
		}
		expect(on)
	}
	if err := h.Dissolve(ctx, "g"); err != nil {
		t.Fatal(err)
	}
	expect(false)
	if err := h.SetGroup(ctx, "", GroupOptions{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
	old := Event{Type: EventJoin, Group: "g", ClientID: "a", Time: time.Now().Add(-2 * noticeLife).UnixMilli()}
	if err := h.notice(ctx, old); err != nil {
		t.Error(err)
	}
}
