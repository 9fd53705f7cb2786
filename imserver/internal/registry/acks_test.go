package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

var ctxb = context.Background()

// ask sends messages to ann whose sender wants receipts.
func ask(t *testing.T, st *store.Store, ids ...string) (pos []protocol.Position) {
	t.Helper()
	for _, id := range ids {
		r := st.PublishMany(ctxb, []store.Publication{{
			Envelope: &protocol.Envelope{ID: id, From: "bob", Time: 1, Data: []byte("1"), Receipt: protocol.ReceiptRead},
			Kind:     protocol.Inbox, To: []string{"ann"}, Await: &store.Await{},
		}})[0]
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		pos = append(pos, r.Receipts[0].Pos)
	}
	return pos
}

// told lists the receipts in bob's inbox.
func told(t *testing.T, st *store.Store) (all []string) {
	t.Helper()
	entries, err := st.After(ctxb, protocol.InboxOf("bob"), protocol.Position{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		m, err := protocol.DecodeEnvelope(e.Envelope)
		if err != nil {
			t.Fatal(err)
		}
		var d struct{ ID, State string }
		if err := json.Unmarshal(m.Data, &d); err != nil {
			t.Fatal(err)
		}
		all = append(all, d.ID+" "+d.State)
	}
	return all
}

func TestAllThatIsAcknowledgedIsWritten(t *testing.T) {
	st := open(t, redistest.Start(t))
	a := NewAcks(st, zap.NewNop())
	pos := ask(t, st, "m0", "m1", "m2", "m3", "m4")
	inbox := protocol.InboxOf("ann")
	a.Add("ann", "d", map[protocol.Stream]protocol.Position{inbox: pos[0]})
	a.Missed("ann", "d", pos[0], pos[2])
	a.Add("ann", "d", map[protocol.Stream]protocol.Position{inbox: pos[2]})
	a.Read("ann", "d", []string{"m3", "m2"})
	a.Given("ann", "raw", pos[4])
	if err := a.Flush(ctxb); err != nil {
		t.Fatal(err)
	}
	got := told(t, st)
	slices.Sort(got)
	want := []string{"m0 delivered", "m2 read", "m3 read", "m4 delivered"} // m1 was missed
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestWhatSomebodyWaitsForIsWrittenSoon(t *testing.T) {
	st := open(t, redistest.Start(t))
	a := NewAcks(st, zap.NewNop())
	pos := ask(t, st, "m0")
	ctx, cancel := context.WithCancel(ctxb)
	var wg sync.WaitGroup
	wg.Go(func() { a.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	a.Add("ann", "d", map[protocol.Stream]protocol.Position{protocol.InboxOf("ann"): pos[0]})
	begin := time.Now()
	a.Soon()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for len(told(t, st)) == 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it is not written")
		}
	}
	t.Logf("it took %v", time.Since(begin))
}

// janitor runs one until the test ends.
func janitor(t *testing.T, st *store.Store) {
	ctx, stop := context.WithCancel(ctxb)
	var wg sync.WaitGroup
	wg.Go(func() { _ = st.RunJanitor(ctx, "node", func(err error) { t.Log(err) }) })
	t.Cleanup(func() { stop(); wg.Wait() })
}

// While Redis is away what waits is bounded, and none of the positions is lost.
func TestAcknowledgementsSurviveAnOutage(t *testing.T) {
	redis := redistest.Start(t, redistest.AOF(), redistest.Args("--appendfsync", "always"))
	st := open(t, redis)
	a := NewAcks(st, zap.NewNop())
	pos := ask(t, st, "m0", "m1")
	redis.Kill()
	inbox := protocol.InboxOf("ann")
	a.Add("ann", "d", map[protocol.Stream]protocol.Position{inbox: pos[0]})
	if a.Flush(ctxb) == nil {
		t.Error("written to nobody")
	}
	a.Add("ann", "d", map[protocol.Stream]protocol.Position{inbox: pos[1]})
	ids := make([]string, 999)
	for i := range ids {
		ids[i] = "x"
	}
	for range 2 * maxReads / len(ids) {
		a.Read("ann", "d", ids)
	}
	a.mu.Lock()
	n := len(a.pending[device{"ann", "d"}].Read)
	a.mu.Unlock()
	if n != maxReads {
		t.Errorf("%d ids wait, want %d", n, maxReads)
	}
	redis.Restart()
	deadline := time.Now().Add(20 * time.Second)
	for a.Flush(ctxb) != nil {
		if time.Now().After(deadline) {
			t.Fatal("redis is back and nothing is written")
		}
	}
	janitor(t, st) // the receipts may have met the outage
	for deadline = time.Now().Add(20 * time.Second); len(told(t, st)) < 2; {
		if time.Now().After(deadline) {
			t.Fatalf("told %q", told(t, st))
		}
	}
	if got := told(t, st); !slices.Equal(got, []string{"m0 delivered", "m1 delivered"}) {
		t.Errorf("told %q", got)
	}
}

// Clients choose what they say they have read: however many do, it takes no more memory than this while Redis is away.
func TestReadsOfAllTogetherAreBounded(t *testing.T) {
	redis := redistest.Start(t)
	a := NewAcks(open(t, redis), zap.NewNop())
	redis.Kill()
	ids := make([]string, protocol.MaxReadIDs)
	for i := range ids {
		ids[i] = strings.Repeat("x", protocol.MaxIDLen)
	}
	each := len(ids) * (idOverhead + protocol.MaxIDLen)
	for i := range 2 * maxReadBytes / each {
		a.Read(fmt.Sprint("client", i), "d", ids)
	}
	for range 2 { // what could not be written waits on, and takes its room
		waiting := 0
		for _, ack := range a.pending {
			waiting += len(ack.Read) * (idOverhead + protocol.MaxIDLen)
		}
		if waiting != a.readBytes || waiting < maxReadBytes || waiting > maxReadBytes+each {
			t.Errorf("%d bytes wait, and %d are counted", waiting, a.readBytes)
		}
		if a.Flush(ctxb) == nil {
			t.Fatal("written to nobody")
		}
	}
}
