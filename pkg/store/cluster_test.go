package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

func TestAServerThatJoinsTheClusterTakesSlots(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	h.waitFollowed(t, "lost", "restored")
	t.Logf("everything is followed again %v after the master's death", time.Since(died))
	send(t, s, "ann", "at last")
	h.waitFor(t, "at last")
}

func TestAServerOfAClusterThatIsAwayInterruptsTheSubscription(t *testing.T) {
	t.Parallel()
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
