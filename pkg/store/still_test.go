package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// While a slot moves for long others must not wait for it.
func TestAMovingSlotKeepsNobodyElseWaiting(t *testing.T) {
	c := shared.Cluster(t)
	s := open(t, Options{URL: c.URL()})
	send(t, s, "ann", "before")
	slot := slotOf(s, "ann")
	from := c.Owner(t, slot)
	to := other(t, c, slot)
	c.Begin(t, slot, to)
	t.Cleanup(func() { c.Abort(t, slot, to) })
	elsewhere := ""
	for i := 0; elsewhere == ""; i++ {
		if name := fmt.Sprint("client", i); slotOf(s, name) != slot {
			elsewhere = name
		}
	}
	var wg sync.WaitGroup
	for i := range maxInFlight + 10 { // each to an inbox that is new: it has to wait until the slot stands still
		wg.Go(func() {
			if _, err := s.PublishInbox(ctxb, message(fmt.Sprint("m", i)), []string{namesake(s, slot, i)}, false); err != nil {
				t.Errorf("send %d: %v", i, err)
			}
		})
	}
	tried := func() bool { return strings.Count(from.Do("INFO", "errorstats"), "TRYAGAIN") > 0 }
	eventually(t, "they have to wait", tried)
	<-time.After(200 * time.Millisecond) // all of them by now
	began := time.Now()
	for i := range 5 {
		send(t, s, elsewhere, fmt.Sprint("meanwhile", i))
	}
	if took := time.Since(began); took > patience/4 {
		t.Errorf("others waited for %v", took)
	}
	c.Abort(t, slot, to)
	wg.Wait()
}

// All that is in a slot has moved, and the slot itself not yet: what the other server publishes nobody would hear.
func TestWhatIsPublishedWhileItsSlotMovesIsHeard(t *testing.T) {
	c := shared.Cluster(t)
	s := open(t, Options{URL: c.URL()})
	_, err := s.Join(ctxb, "chess", []string{"ann"}, JoinOptions{})
	must(t, err)
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	send(t, s, "ann", "before")
	_, err = s.PublishGroup(ctxb, message("before"), "ann", false)
	must(t, err)
	must(t, h.sub.Heard(ctxb))
	slot := slotOf(s, "ann")
	to := other(t, c, slot)
	c.Begin(t, slot, to)
	c.Carry(t, slot, to)
	for what, do := range map[string]func(ctx context.Context) error{
		"inbox": func(ctx context.Context) error {
			_, err := s.PublishInbox(ctx, message("during"), []string{"ann"}, false)
			return err
		},
		"inbox, idempotent": func(ctx context.Context) error {
			_, err := s.PublishInbox(ctx, message("during"), []string{"ann"}, true)
			return err
		},
		"group": func(ctx context.Context) error {
			_, err := s.PublishGroup(ctx, message("during"), "ann", false)
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(ctxb, 300*time.Millisecond)
		heard := h.count()
		err := do(ctx)
		cancel()
		must(t, h.sub.Heard(ctxb))
		if err == nil && h.count() == heard {
			t.Errorf("%s: accepted, and not heard", what)
		}
	}
	c.Move(t, slot, to)
	send(t, s, "ann", "after")
	h.waitStory(t, "lost", "restored")
	send(t, s, "ann", "at last")
	h.waitFor(t, "at last")
}

// namesake is one of the addresses in a slot.
func namesake(s *Store, slot, i int) string {
	for k := 0; ; k++ {
		if name := fmt.Sprintf("ann-%d-%d", i, k); protocol.Slot(s.ClientChannel(s.Partition(name))) == slot {
			return name
		}
	}
}
