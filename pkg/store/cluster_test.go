package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// allChannels are those that imservers follow.
func allChannels(s *Store) []string {
	channels := []string{s.AllChannel()}
	for p := range s.Partitions() {
		channels = append(channels, s.ClientChannel(p), s.GroupChannel(p))
	}
	return channels
}

// slotOf is where everything about an address lies.
func slotOf(s *Store, addr string) int { return protocol.Slot(s.ClientChannel(s.Partition(addr))) }

// other is a master that has not the slot.
func other(t *testing.T, c *redistest.Cluster, slot int) *redistest.Server {
	t.Helper()
	i := slices.Index(c.Masters, c.Owner(t, slot))
	return c.Masters[(i+1)%len(c.Masters)]
}

func TestChannelsAreFollowedOnTheServersOfTheirSlots(t *testing.T) {
	c := shared.Cluster(t)
	s := open(t, Options{URL: c.URL(), Partitions: 64})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	followed := 0
	for _, m := range c.Masters {
		channels := m.List("PUBSUB", "SHARDCHANNELS")
		for _, ch := range channels {
			if c.Owner(t, protocol.Slot(ch)) != m {
				t.Errorf("%s is followed on another server than that of its slot", ch)
			}
		}
		followed += len(channels)
	}
	if want := len(allChannels(s)); followed != want {
		t.Errorf("%d channels are followed, want %d", followed, want)
	}
	if story := h.happened(); len(story) > 0 {
		t.Errorf("story: %v", story)
	}
}

func TestAChannelWhoseSlotMovesIsFollowedThere(t *testing.T) {
	c := shared.Cluster(t)
	s := open(t, Options{URL: c.URL()})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	send(t, s, "ann", "before")
	h.waitFor(t, "before")
	slot := slotOf(s, "ann")
	for round := range 3 { // to the next master each time; the last time it is back
		c.Move(t, slot, other(t, c, slot))
		began := time.Now()
		h.waitStory(t, slices.Repeat([]string{"lost", "restored"}, round+1)...)
		t.Logf("restored %v after the slot had moved", time.Since(began))
		id := fmt.Sprint("after ", round)
		send(t, s, "ann", id)
		h.waitFor(t, id)
		must(t, h.sub.Heard(ctxb))
	}
	if got := stored(t, s, protocol.InboxOf("ann")); len(got) != 4 {
		t.Errorf("the inbox has %v", got)
	}
}

// Every message that was sent while slots move is in the log once and in order; what was not heard was sent while the
// Receiver knew that it misses something.
func TestNoSendFailsWhileSlotsMove(t *testing.T) {
	c := shared.Cluster(t)
	s := open(t, Options{URL: c.URL()})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	const clients = 16
	var (
		wg   sync.WaitGroup
		stop atomic.Bool
		sent [clients]int
	)
	for i := range clients {
		wg.Go(func() {
			for to := fmt.Sprint("client", i); !stop.Load(); sent[i]++ {
				if _, err := s.PublishInbox(ctxb, message(fmt.Sprint(to, "/", sent[i])), []string{to}, false); err != nil {
					t.Errorf("send %d to %s: %v", sent[i], to, err)
					return
				}
			}
		})
	}
	for p := range s.Partitions() {
		slot := protocol.Slot(s.ClientChannel(p))
		c.Move(t, slot, other(t, c, slot))
	}
	stop.Store(true)
	wg.Wait()
	eventually(t, "everything is followed again", func() bool {
		story := h.happened()
		return len(story) > 0 && story[len(story)-1] == "restored"
	})
	for i, n := range sent {
		to := fmt.Sprint("client", i)
		got := stored(t, s, protocol.InboxOf(to))
		if len(got) < min(n, 1000) {
			t.Errorf("%d of %d messages to %s are stored", len(got), n, to)
		}
		for k, id := range got {
			if want := fmt.Sprint(to, "/", n-len(got)+k); id != want {
				t.Fatalf("the inbox of %s has %s where %s belongs", to, id, want)
			}
		}
	}
}

func TestAServerThatJoinsTheClusterTakesSlots(t *testing.T) {
	c := redistest.StartCluster(t, 3, 0)
	s := open(t, Options{URL: c.URL()})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	send(t, s, "ann", "before")
	joined := redistest.StartNode(t)
	c.Join(t, joined)
	c.Move(t, slotOf(s, "ann"), joined)
	send(t, s, "ann", "after") // the server does not know the scripts
	h.waitStory(t, "lost", "restored")
	send(t, s, "ann", "at last")
	h.waitFor(t, "at last")
	if got := stored(t, s, protocol.InboxOf("ann")); !slices.Equal(got, []string{"before", "after", "at last"}) {
		t.Errorf("the inbox has %v", got)
	}
}

func TestAReplicaTakesItsMastersPlace(t *testing.T) {
	c := redistest.StartCluster(t, 3, 3)
	s := openHasty(t, Options{URL: c.URL()})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	before := send(t, s, "ann", "before")
	h.waitFor(t, "before")
	slot := slotOf(s, "ann")
	owner := c.Owner(t, slot)
	fenceBefore := s.lives.of(s.Partition("ann")).fence
	c.Masters = slices.DeleteFunc(c.Masters, func(m *redistest.Server) bool { return m == owner })
	owner.Kill()
	died := time.Now()
	var after protocol.Position
	eventuallyWithin(t, time.Minute, "messages are taken again", func() bool {
		rs, err := s.PublishInbox(ctxb, message("after"), []string{"ann"}, false)
		if err != nil {
			if !errors.Is(err, ErrUnavailable) {
				t.Fatalf("send: %v", err)
			}
			return false
		}
		after = rs[0].Pos
		return true
	})
	t.Logf("messages are taken again %v after the master's death", time.Since(died))
	if s.lives.of(s.Partition("ann")).fence <= fenceBefore || after.Epoch <= before.Epoch {
		t.Errorf("the replica goes on in the life of its master: %v after %v", after, before)
	}
	eventuallyWithin(t, time.Minute, "everything is followed again", func() bool { return slices.Equal(h.happened(), []string{"lost", "restored"}) })
	t.Logf("everything is followed again %v after the master's death", time.Since(died))
	send(t, s, "ann", "at last")
	h.waitFor(t, "at last")
}

func TestAServerOfAClusterThatIsAwayInterruptsTheSubscription(t *testing.T) {
	c := redistest.StartCluster(t, 3, 0)
	for _, m := range c.Masters {
		m.Do("CONFIG", "SET", "cluster-require-full-coverage", "no") // the others go on
	}
	s := openHasty(t, Options{URL: c.URL()})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	owners := make(map[int]*redistest.Server)
	for p := range s.Partitions() {
		slot := protocol.Slot(s.ClientChannel(p))
		owners[slot] = c.Owner(t, slot)
	}
	owner := owners[slotOf(s, "ann")]
	owner.Pause()
	h.waitStory(t, "lost")
	ctx, cancel := context.WithTimeout(ctxb, 100*time.Millisecond)
	defer cancel()
	if err := h.sub.Heard(ctx); !errors.Is(err, ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Heard while a server is away: %v", err)
	}
	var elsewhere string
	for i := 0; elsewhere == ""; i++ {
		if to := fmt.Sprint("client", i); owners[slotOf(s, to)] != owner {
			elsewhere = to
		}
	}
	send(t, s, elsewhere, "meanwhile")
	h.waitFor(t, "meanwhile")
	owner.Resume()
	h.waitStory(t, "lost", "restored")
	eventually(t, "messages are taken again", func() bool {
		_, err := s.PublishInbox(ctxb, message("after"), []string{"ann"}, false)
		return err == nil
	})
	h.waitFor(t, "after")
}

// chronicle is a Receiver that remembers everything in its order: ids of messages, "lost" and "restored".
type chronicle struct {
	mu     sync.Mutex
	events []string
}

func (c *chronicle) add(event string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, event)
}

func (c *chronicle) Message(_ string, payload []byte) {
	push, err := protocol.DecodePush(payload)
	if err != nil {
		panic(err)
	}
	e, err := protocol.DecodeEnvelope(push.Envelope)
	if err != nil {
		panic(err)
	}
	c.add(e.ID)
}

func (c *chronicle) Lost(error) { c.add("lost") }
func (c *chronicle) Restored()  { c.add("restored") }

func (c *chronicle) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

// missed returns what was wrong: a message that is missing between two of the same client, although nothing was lost and restored
// between them, one that is out of order, or Lost and Restored that do not alternate.
func (c *chronicle) missed() (wrong []string) {
	last := make(map[string]int)
	lives, lost := make(map[string]int), false
	life := 0 // how often it was restored
	for _, event := range c.all() {
		switch event {
		case "lost", "restored":
			if lost == (event == "lost") {
				wrong = append(wrong, event+" twice")
			}
			if lost = event == "lost"; !lost {
				life++
			}
			continue
		}
		client, text, _ := strings.Cut(event, "/")
		n, err := strconv.Atoi(text)
		if err != nil {
			panic(err)
		}
		before, known := last[client]
		if !known {
			before = -1
		}
		if n <= before || n > before+1 && lives[client] == life && !lost {
			wrong = append(wrong, fmt.Sprintf("%s after %d", event, before))
		}
		last[client], lives[client] = n, life
	}
	return wrong
}

// Slots go back and forth while messages are sent: none is missing unless that is told, and what is asked for has been heard.
func TestNothingIsMissedSilentlyWhileSlotsMoveBackAndForth(t *testing.T) {
	c := shared.Cluster(t)
	s := open(t, Options{URL: c.URL()})
	story := &chronicle{}
	sub := s.NewSubscriber(story)
	ctx, cancel := context.WithCancel(ctxb)
	var run sync.WaitGroup
	run.Go(func() { _ = sub.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	patient, end := context.WithTimeout(ctxb, 2*patience)
	defer end()
	must(t, sub.Subscribe(patient, allChannels(s)...))
	const clients = 8
	var (
		wg   sync.WaitGroup
		stop atomic.Bool
		sent [clients]int
	)
	for i := range clients {
		wg.Go(func() {
			for to := fmt.Sprint("client", i); !stop.Load(); sent[i]++ {
				if _, err := s.PublishInbox(ctxb, message(fmt.Sprint(to, "/", sent[i])), []string{to}, false); err != nil {
					t.Errorf("send %d to %s: %v", sent[i], to, err)
					return
				}
			}
		})
	}
	wg.Go(func() { // channels come and go meanwhile
		for i := 0; !stop.Load(); i++ {
			name := fmt.Sprint("passing", i%50)
			if err := sub.Subscribe(patient, name); err != nil {
				t.Errorf("subscribe to %s: %v", name, err)
				return
			}
			sub.Unsubscribe(name)
		}
	})
	slot := slotOf(s, "client0")
	for round := range 12 {
		c.Move(t, slot, other(t, c, slot))
		if round%3 == 0 {
			<-time.After(150 * time.Millisecond) // so that it is noticed, or not
		}
		if round%4 == 0 {
			sub.Reset()
		}
	}
	stop.Store(true)
	wg.Wait()
	eventually(t, "everything is followed again", func() bool { return sub.Heard(patient) == nil && sub.troubled() == "" })
	for i := range sent {
		to := fmt.Sprint("client", i)
		n := sent[i]
		eventually(t, "the last message is heard", func() bool { // it may have been missed while the last move was not noticed
			_, err := s.PublishInbox(ctxb, message(fmt.Sprint(to, "/", n)), []string{to}, false)
			must(t, err)
			n++
			return sub.Heard(patient) == nil && slices.Contains(story.all(), fmt.Sprint(to, "/", n-1))
		})
	}
	if wrong := story.missed(); len(wrong) > 0 {
		t.Errorf("wrong: %v", wrong[:min(len(wrong), 10)])
	}
}

// A server that was cut off from the others tells of slots as they were.
func TestSlotsAreReadFromWhoThinksWellOfTheCluster(t *testing.T) {
	c := shared.Cluster(t)
	s := open(t, Options{URL: c.URL()})
	lone := redistest.StartNode(t)
	lone.Do("CLUSTER", "ADDSLOTSRANGE", "0", "99")
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{lone.Addr}, ForceSingleClient: true, DisableCache: true})
	must(t, err)
	defer client.Close()
	if ss, well, err := slotsOf(ctxb, lone.Addr, client); err != nil || well || !slices.Equal(ss, slots{{0, 99, lone.Addr}}) {
		t.Errorf("a server by itself: %v, well %v, %v", ss, well, err)
	}
	for addr, node := range s.client.Nodes() {
		if _, well, err := slotsOf(ctxb, addr, node); err != nil || !well {
			t.Errorf("%s: well %v, %v", addr, well, err)
		}
	}
}
