package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// heard is one message of a channel.
type heard struct {
	channel string
	payload []byte
}

// ear is a Receiver that remembers, with its Subscriber running.
type ear struct {
	sub *Subscriber

	mu       sync.Mutex
	messages []heard
	taken    int
	story    []string // "lost" and "restored" as they came
	restored []int    // how many messages had come before each "restored"
	lostAt   time.Time
}

func (e *ear) Message(channel string, payload []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.messages = append(e.messages, heard{channel, payload})
}

func (e *ear) Lost(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		panic("lost without a reason")
	}
	e.story = append(e.story, "lost")
	e.lostAt = time.Now()
}

func (e *ear) Restored() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.story = append(e.story, "restored")
	e.restored = append(e.restored, len(e.messages))
}

func hear(t testing.TB, s *Store) *ear {
	t.Helper()
	e := &ear{}
	e.sub = s.NewSubscriber(e)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.sub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return e
}

func (e *ear) subscribe(t testing.TB, channels ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := e.sub.Subscribe(ctx, channels...); err != nil {
		t.Fatal(err)
	}
}

// take returns what was heard since the last take.
func (e *ear) take() []heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := slices.Clone(e.messages[e.taken:])
	e.taken = len(e.messages)
	return out
}

// ids lists the message ids heard so far.
func (e *ear) ids() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, m := range e.messages {
		push, err := protocol.DecodePush(m.payload)
		if err != nil {
			panic(err)
		}
		envelope, err := protocol.DecodeEnvelope(push.Envelope)
		if err != nil {
			panic(err)
		}
		out = append(out, envelope.ID)
	}
	return out
}

func (e *ear) waitFor(t testing.TB, id string) {
	t.Helper()
	eventually(t, "heard "+id, func() bool { return slices.Contains(e.ids(), id) })
}

func (e *ear) happened() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.story)
}

func (e *ear) waitStory(t testing.TB, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprint("story is ", want), func() bool { return slices.Equal(e.happened(), want) })
}

func TestSubscribedMeansHeard(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		h := hear(t, s)
		var want []string
		for i := range 50 { // no message sent after Subscribe returned may be missing
			client := fmt.Sprint("client", i)
			h.subscribe(t, s.ClientChannel(s.Partition(client)))
			send(t, s, client, client)
			want = append(want, client)
		}
		h.waitFor(t, "client49")
		must(t, h.sub.Heard(ctxb))
		got := h.ids()
		if s.cluster { // servers do not wait for one another
			slices.Sort(got)
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("heard %v", got)
		}
		if story := h.happened(); len(story) != 0 {
			t.Fatalf("story: %v", story)
		}
	})
}

// countSubscribed counts the channels that somebody follows.
func countSubscribed(t testing.TB, s *Store, pattern string) (n int) {
	t.Helper()
	for _, node := range s.client.Nodes() {
		list := node.B().PubsubChannels().Pattern(pattern).Build()
		if s.cluster {
			list = node.B().PubsubShardchannels().Pattern(pattern).Build()
		}
		channels, err := node.Do(ctxb, list).AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		n += len(channels)
	}
	return n
}

func TestManyChannels(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		h := hear(t, s)
		channels := names("test-channel-", 300)
		h.subscribe(t, channels...)
		h.subscribe(t, channels...) // again changes nothing
		for _, c := range channels {
			n, err := s.do(context.Background(), s.announce(c, "hello")).AsInt64()
			if err != nil || n != 1 {
				t.Fatalf("%s: %d receivers, %v", c, n, err)
			}
		}
		eventually(t, "300 messages", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.messages) == 300 })
		got := h.take()
		if s.cluster { // servers do not wait for one another
			slices.SortFunc(got, func(a, b heard) int { return slices.Index(channels, a.channel) - slices.Index(channels, b.channel) })
		}
		for i, m := range got {
			if m.channel != channels[i] || string(m.payload) != "hello" {
				t.Fatalf("message %d is %q on %s", i, m.payload, m.channel)
			}
		}
		h.sub.Unsubscribe(channels[:200]...)
		eventually(t, "100 channels are left", func() bool {
			return countSubscribed(t, s, "test-channel-*") == 100
		})
		h.subscribe(t, channels[:10]...)
		n, err := s.do(context.Background(), s.announce(channels[3], "again")).AsInt64()
		if err != nil || n != 1 {
			t.Fatalf("%d receivers, %v", n, err)
		}
	})
}

// A channel left and joined in quick turns is followed exactly when the last call said so.
func TestSubscribeRightAfterUnsubscribe(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		h := hear(t, s)
		for i := range 200 {
			h.subscribe(t, "flip")
			msg := fmt.Sprint(i)
			n, err := s.do(context.Background(), s.announce("flip", msg)).AsInt64()
			if err != nil || n != 1 {
				t.Fatalf("round %d: %d receivers, %v", i, n, err)
			}
			h.sub.Unsubscribe("flip")
		}
		eventually(t, "nobody listens", func() bool {
			n, err := s.do(context.Background(), s.announce("flip", "x")).AsInt64()
			return err == nil && n == 0
		})
		eventually(t, "the channel is forgotten", func() bool {
			h.sub.mu.Lock()
			defer h.sub.mu.Unlock()
			return len(h.sub.channels) == 0
		})
	})
}

func TestKilledSubscriptionIsToldAndRestored(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, Options{URL: srv.URL()})
	h := hear(t, s)
	var channels []string
	for p := range s.Partitions() {
		channels = append(channels, s.ClientChannel(p))
	}
	h.subscribe(t, channels...)
	var story []string
	for i := range 3 {
		srv.Do("CLIENT", "KILL", "TYPE", "pubsub")
		story = append(story, "lost", "restored")
		h.waitStory(t, story...)
		client := fmt.Sprint("after", i)
		send(t, s, client, client) // restored means that every channel is back
		h.waitFor(t, client)
	}
}

func TestSubscriberSurvivesRestart(t *testing.T) {
	srv := redistest.Start(t)
	s := openHasty(t, Options{URL: srv.URL()})
	h := hear(t, s)
	h.subscribe(t, names("test-channel-", 300)...)
	srv.Kill()
	h.waitStory(t, "lost")

	subscribed := make(chan error, 1)
	go func() { subscribed <- h.sub.Subscribe(context.Background(), "while-down") }()
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	wantUnavailable(t, h.sub.Subscribe(short, "while-down-too"))

	srv.Restart()
	h.waitStory(t, "lost", "restored")
	if err := <-subscribed; err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"test-channel-0", "test-channel-299", "while-down"} {
		eventually(t, "commands work again", func() bool {
			n, err := s.do(context.Background(), s.announce(c, "x")).AsInt64()
			if err == nil && n != 1 {
				t.Errorf("%s: %d receivers", c, n)
			}
			return err == nil
		})
	}
}

func TestSilentRedisIsNoticed(t *testing.T) {
	srv := redistest.Start(t)
	s := openHasty(t, Options{URL: srv.URL()})
	h := hear(t, s)
	h.subscribe(t, s.ClientChannel(s.Partition("x")))
	send(t, s, "x", "before")

	srv.Pause()
	paused := time.Now()
	for what, op := range map[string]func() error{
		"publish": func() error {
			_, err := s.PublishInbox(context.Background(), message("m"), []string{"x"}, false)
			return err
		},
		"publish many": func() error {
			var err error
			for _, r := range s.PublishMany(context.Background(), make3000()) {
				err = errors.Join(err, r.Err)
			}
			return err
		},
		"read": func() error {
			_, err := s.After(context.Background(), protocol.AllStream(), protocol.Position{}, 10)
			return err
		},
		"tails": func() error { _, err := s.Tails(context.Background(), inboxes(2000)); return err },
		"ping":  func() error { return s.Ping(context.Background()) },
	} {
		if took := quickest(func() { wantUnavailable(t, op()) }); took > giveUp {
			t.Errorf("%s failed after %v, want at most %v", what, took, giveUp)
		}
	}
	story := []string{"lost"}
	h.waitStory(t, story...)
	// A busy machine may be slow to notice; not always.
	for tries := 1; h.lostAt.Sub(paused) > giveUp; tries++ {
		if tries == 5 {
			t.Fatalf("the subscriber noticed after %v, want at most %v", h.lostAt.Sub(paused), giveUp)
		}
		srv.Resume()
		story = append(story, "restored")
		h.waitStory(t, story...)
		srv.Pause()
		paused = time.Now()
		story = append(story, "lost")
		h.waitStory(t, story...)
	}
	srv.Resume()
	h.waitStory(t, append(story, "restored")...)
	eventually(t, "publishing works again", func() bool {
		_, err := s.PublishInbox(context.Background(), message("after"), []string{"x"}, true)
		return err == nil
	})
	h.waitFor(t, "after")
}

// giveUp is how soon a silent Redis is to be noticed.
const giveUp = 3 * time.Second

// quickest repeats what is to be quick until it was, some times at most: any one time may find a busy machine.
func quickest(do func()) time.Duration {
	best := time.Hour
	for tries := 0; tries < 5 && best > giveUp; tries++ {
		began := time.Now()
		do()
		best = min(best, time.Since(began))
	}
	return best
}

func TestResetReconnects(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		h := hear(t, s)
		h.subscribe(t, s.ClientChannel(s.Partition("x")))
		h.sub.Reset()
		h.waitStory(t, "lost", "restored")
		send(t, s, "x", "m")
		h.waitFor(t, "m")
	})
}

func TestSubscriberUsesPassword(t *testing.T) {
	srv := redistest.Start(t, redistest.Args("--requirepass", "secret"))
	s := open(t, Options{URL: "redis://:secret@" + srv.Addr})
	h := hear(t, s)
	h.subscribe(t, s.ClientChannel(s.Partition("x")))
	send(t, s, "x", "m")
	h.waitFor(t, "m")
}

func make3000() []Publication {
	var pubs []Publication
	for i := range 3000 {
		pubs = append(pubs, Publication{Envelope: message("m"), Kind: protocol.Inbox, To: []string{fmt.Sprint(i)}})
	}
	return pubs
}

func inboxes(n int) []protocol.Stream {
	out := make([]protocol.Stream, n)
	for i := range out {
		out[i] = protocol.InboxOf(fmt.Sprint(i))
	}
	return out
}
