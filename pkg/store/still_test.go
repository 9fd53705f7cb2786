package store

import (
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

// namesake is one of the addresses in a slot.
func namesake(s *Store, slot, i int) string {
	for k := 0; ; k++ {
		if name := fmt.Sprintf("ann-%d-%d", i, k); protocol.Slot(s.ClientChannel(s.Partition(name))) == slot {
			return name
		}
	}
}
