package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// sendUntil sends messages to one client one after the other, numbered from 0, and returns how many.
func sendUntil(t *testing.T, s *Store, to string, stop *atomic.Bool) (sent int) {
	for ; !stop.Load(); sent++ {
		if _, err := s.PublishInbox(ctxb, message(fmt.Sprint(to, "/", sent)), []string{to}, false); err != nil {
			t.Errorf("send %d to %s: %v", sent, to, err)
			return sent
		}
	}
	return sent
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
		wg.Go(func() { sent[i] = sendUntil(t, s, fmt.Sprint("client", i), &stop) })
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
		wg.Go(func() { sent[i] = sendUntil(t, s, fmt.Sprint("client", i), &stop) })
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
