package imserver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

// migrate waits until a client is told where to go.
func (k *client) migrate() (url string, within time.Duration) {
	k.t.Helper()
	var f frame
	k.wait("migrate", func(all []frame) bool {
		i := slices.IndexFunc(all, func(f frame) bool { return f.Type == "migrate" })
		if i >= 0 {
			f = all[i]
		}
		return i >= 0
	})
	return f.URL, time.Duration(f.WithinMs) * time.Millisecond
}

// sessionOf reads the session that a URL carries.
func sessionOf(t *testing.T, url string) ticket.Session {
	t.Helper()
	keys, err := ticket.ParseKeys(signingKeys)
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(url, "?session=")
	s, err := keys.VerifySession(token)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// presence collects the online and offline events of all clients.
type presence struct {
	mu     sync.Mutex
	events []string
}

func (p *presence) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events)
}

func watch(t *testing.T, st *store.Store) *presence {
	t.Helper()
	p := new(presence)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = st.ConsumeEvents(ctx, "test", "test", func(_ context.Context, e store.Event) error {
			if e.Type == "online" || e.Type == "offline" {
				p.mu.Lock()
				p.events = append(p.events, e.Type+" "+e.ClientID)
				p.mu.Unlock()
			}
			return nil
		}, store.ConsumeOptions{Ready: func() { close(ready) }})
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-ready
	return p
}

// slowDrain leaves clients the time that a busy machine takes.
func slowDrain(c *Config) { c.DrainTimeout = 30 * time.Second }

// A client that goes where it is told misses nothing, whenever its old connection ends, and is never offline.
func TestDrainHandsOverWithoutLossOrOffline(t *testing.T) {
	redis := redistest.Start(t)
	one, two := start(t, redis.URL(), slowDrain), start(t, redis.URL())
	st := open(t, redis.URL())
	events := watch(t, st)
	old := one.connect(true, ticket.Claims{ClientID: "ann", Device: "phone", Meta: []byte(`{"v":1}`), Groups: []string{"room"}, UntilOffline: true, MayRequest: true})
	raw := one.connect(false, ticket.Claims{ClientID: "bob"})
	var sending sync.WaitGroup
	stop := make(chan struct{})
	var sent []string
	sending.Go(func() {
		p := publisher{t, st}
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			sent = append(sent, fmt.Sprint("m", i))
			p.inbox(sent[i], "ann")
		}
	})
	eventually(t, "messages flow", func() bool { return len(old.ids()) > 20 })
	if err := st.DrainNode(context.Background(), one.state().Node); err != nil {
		t.Fatal(err)
	}
	raw.expectClose(4000)
	url, within := old.migrate()
	if !strings.HasPrefix(url, two.url+"?session=") || within < time.Second || within > 30*time.Second {
		t.Errorf("told to go to %.40s within %v", url, within)
	}
	if s := sessionOf(t, url); !s.MayRequest || s.ClientID != "ann" {
		t.Errorf("the session is %+v", s)
	}
	// What the client has handled when the new connection is open; more may arrive on the old one.
	next := dialOnly(t, url)
	last := old.frames()
	next.start(last)
	old.expectClose(protocol.ReasonHandedOver.Code())
	eventually(t, "messages flow again", func() bool { return len(next.ids()) > 20 })
	close(stop)
	sending.Wait()

	got := make(map[string]bool)
	var order []string
	add := func(ids []string) {
		for _, id := range ids {
			if !got[id] {
				got[id] = true
				order = append(order, id)
			}
		}
	}
	next.wait("the last message", func([]frame) bool { return slices.Contains(next.ids(), sent[len(sent)-1]) })
	add(old.ids())
	add(next.ids())
	if !slices.Equal(order, sent) {
		t.Errorf("got %d messages, want %d in order", len(order), len(sent))
	}
	c, err := st.Client(context.Background(), "ann")
	if err != nil || len(c.Connections) != 1 || c.Connections[0].Device != "phone" || string(c.Connections[0].Meta) != `{"v":1}` || len(c.Groups) != 1 {
		t.Errorf("registered: %+v %v", c, err)
	}
	eventually(t, "bob is offline", func() bool { return slices.Contains(events.seen(), "offline bob") })
	if got := events.seen(); slices.Contains(got, "offline ann") {
		t.Errorf("events: %v", got)
	}
}

// On SIGTERM too; who ignores it is closed with 4000 when its time is over, and the process ends.
func TestStoppingHandsOver(t *testing.T) {
	redis := redistest.Start(t)
	one, two := start(t, redis.URL(), func(c *Config) { c.DrainTimeout = 12 * time.Second }), start(t, redis.URL())
	obeys := one.connect(true, ticket.Claims{ClientID: "obeys"})
	ignores := one.connect(true, ticket.Claims{ClientID: "ignores"})
	stopped := make(chan error, 1)
	go func() { stopped <- one.stop() }()
	url, _ := obeys.migrate()
	next := dial(t, url, true)
	obeys.expectClose(protocol.ReasonHandedOver.Code())
	ignores.migrate()
	ignores.expectClose(4000)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if n := two.state().Connections; n != 1 {
		t.Errorf("%d connections moved", n)
	}
	publisher{t, open(t, redis.URL())}.inbox("hello", "obeys")
	next.expect("hello")
}

// A node that drains as well is nowhere to go, and neither is one that died.
func TestDrainWithoutAnotherNode(t *testing.T) {
	redis := redistest.Start(t)
	one, two := start(t, redis.URL(), slowDrain), start(t, redis.URL(), slowDrain)
	st := open(t, redis.URL())
	k := one.connect(true, ticket.Claims{ClientID: "ann"})
	for _, n := range []*running{two, one} {
		if err := st.DrainNode(context.Background(), n.state().Node); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it drains", func() bool { return n.state().Draining })
	}
	k.expectClose(4000)
	if slices.ContainsFunc(k.frames(), func(f frame) bool { return f.Type == "migrate" }) {
		t.Error("told to go to a node that drains")
	}
}
