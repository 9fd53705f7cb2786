package hub

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// heard collects what the hub tells of receipts.
type heard struct {
	mu     sync.Mutex
	given  []protocol.Position
	read   []string
	missed [][2]protocol.Position
}

func (h *heard) options(o *Options) {
	o.Receipts = Receipts{
		Given: func(_ *Conn, pos protocol.Position) { h.note(func() { h.given = append(h.given, pos) }) },
		Read:  func(_ *Conn, ids []string) { h.note(func() { h.read = append(h.read, ids...) }) },
		Missed: func(_ *Conn, a, b protocol.Position) {
			h.note(func() { h.missed = append(h.missed, [2]protocol.Position{a, b}) })
		},
	}
}

func (h *heard) note(f func()) { h.mu.Lock(); defer h.mu.Unlock(); f() }

func (h *heard) all() (given []protocol.Position, read []string, missed [][2]protocol.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.given), slices.Clone(h.read), slices.Clone(h.missed)
}

// asked is a message whose sender wants to know.
func asked(id string) *protocol.Envelope {
	e := message(id)
	e.Receipt = protocol.ReceiptDelivered
	return e
}

func receipt(id string) *protocol.Envelope {
	return &protocol.Envelope{ID: id + "\n1-1\nd", From: "bob", Time: 1, IsReceipt: true, Data: protocol.ReceiptData(id, "bob", "delivered")}
}

func TestWhatRawConnectionsTookIsTold(t *testing.T) {
	h := &heard{}
	r := newRig(t, h.options)
	raw, v1 := r.connect("ann", false), r.connect("bob", true)
	r.publish(ann, message("a"))
	want := r.publish(ann, asked("b"))
	r.publish(protocol.InboxOf("bob"), asked("c"))
	raw.expect("", `"a"`, `"b"`)
	v1.expect("inbox", "c")
	eventually(t, "one is told", func() bool { given, _, _ := h.all(); return len(given) == 1 })
	if given, _, _ := h.all(); given[0] != want || raw.conn.Awaited() || !v1.conn.Awaited() {
		t.Errorf("told %v, want %v; awaited %t %t", given, want, raw.conn.Awaited(), v1.conn.Awaited())
	}
}

// Bytes that wait in this process have not been delivered: the kernel has to take them first.
func TestASlowRawConnectionHasNotGotIt(t *testing.T) {
	h := &heard{}
	r := newRig(t, h.options)
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "slow"}), false) // reads nothing yet
	eventually(t, "it takes messages", func() bool { k.conn.mu.Lock(); defer k.conn.mu.Unlock(); return k.conn.started })
	n := 0
	for {
		e := heavy("x")
		e.Receipt = protocol.ReceiptDelivered
		n++
		r.publish(ann, e)
		eventually(t, "it is handed over", func() bool { return r.hub.Counters().Delivered.Load() == int64(n) })
		if n > 10_000 {
			t.Fatal("the kernel takes everything")
		}
		if k.conn.sock.Queued() > 0 {
			<-time.After(50 * time.Millisecond) // it may take the rest a little later
		}
		before, _, _ := h.all()
		r.hub.unsent.look(r.hub)
		after, _, _ := h.all()
		if k.conn.sock.Queued() == 0 {
			r.hub.unsent.look(r.hub) // what it has taken late
			continue
		}
		if len(before) != n-1 {
			t.Errorf("%d of %d count as delivered while one waits here", len(before), n)
		}
		if len(after) != n-1 {
			t.Error("looking again delivered it")
		}
		break
	}
	k.read()
	eventually(t, "all are delivered", func() bool { given, _, _ := h.all(); return len(given) == n })
}

// The sweep cuts off who is too slow, and then looks at what has been sent.
func TestWhatWasKeptWhenTheConnectionWasCutIsNotDelivered(t *testing.T) {
	h := &heard{}
	r := newRig(t, h.options)
	for i := range 20 {
		id := fmt.Sprint("ann", i)
		k := r.dial(r.admit(Info{ClientID: id, ID: id}), false) // reads nothing
		eventually(t, "it takes messages", func() bool { k.conn.mu.Lock(); defer k.conn.mu.Unlock(); return k.conn.started })
		for n := r.hub.Counters().Delivered.Load() + 1; ; n++ {
			e := heavy("x")
			e.Receipt = protocol.ReceiptDelivered
			r.publish(protocol.InboxOf(id), e)
			eventually(t, "it is handed over", func() bool { return r.hub.Counters().Delivered.Load() == n })
			if k.conn.sock.Queued() > 0 {
				<-time.After(20 * time.Millisecond) // it may take the rest a little later
			}
			if k.conn.sock.Queued() > 0 {
				break
			}
		}
		r.hub.unsent.look(r.hub)
		before, _, _ := h.all()
		k.conn.sock.Kill()
		r.hub.unsent.look(r.hub)
		if after, _, _ := h.all(); len(after) != len(before) {
			t.Fatalf("%d messages count as delivered that nobody got", len(after)-len(before))
		}
	}
}

func TestAnEndedRawConnectionHasNotGotIt(t *testing.T) {
	h := &heard{}
	r := newRig(t, h.options)
	k := r.connect("ann", false)
	r.hub.unsent.add(k.conn, protocol.Position{Epoch: 1, Seq: 1})
	k.ws.CloseNow()
	eventually(t, "it is gone", func() bool { return r.hub.Len() == 0 })
	r.hub.unsent.look(r.hub)
	r.hub.unsent.mu.Lock()
	left := len(r.hub.unsent.of)
	r.hub.unsent.mu.Unlock()
	if given, _, _ := h.all(); len(given) != 0 || left != 0 {
		t.Errorf("delivered %v, %d connections are kept", given, left)
	}
}

func TestReceiptFrames(t *testing.T) {
	r := newRig(t)
	v1, other, raw := r.connect("ann", true), r.connect("ann", true), r.connect("ann", false)
	pos := r.publish(ann, receipt("m1"))
	r.publish(ann, message("next"))
	want := `{"type":"receipt","stream":"inbox","pos":"` + pos.String() + `","id":"m1","clientId":"bob","state":"delivered"}`
	for _, k := range []*client{v1, other} {
		k.expect("inbox", "next")
		if f := k.frames(); f[len(f)-2].Raw != want {
			t.Errorf("the receipt is %s, want %s", f[len(f)-2].Raw, want)
		}
	}
	raw.expect("", `"next"`)

	late := r.dial(r.admit(Info{ClientID: "ann", ID: "late"}), true).read()
	late.send(`{"type":"start","pos":{"inbox":"` + protocol.Position{Epoch: pos.Epoch}.String() + `"}}`)
	late.expect("inbox", "next")
	if !slices.ContainsFunc(late.frames(), func(g got) bool { return g.Raw == want }) {
		t.Error("the receipt is not replayed")
	}
}

func TestReadFrames(t *testing.T) {
	h := &heard{}
	r := newRig(t, h.options)
	k := r.connect("ann", true)
	k.send(`{"type":"read"}`)
	k.send(`{"type":"read","ids":["a","b"]}`)
	eventually(t, "both are told", func() bool { _, read, _ := h.all(); return slices.Equal(read, []string{"a", "b"}) })
	for _, bad := range []string{
		`{"type":"read","ids":[""]}`, `{"type":"read","ids":["` + strings.Repeat("x", 65) + `"]}`, `{"type":"read","ids":"a"}`,
		`{"type":"read","ids":[` + strings.Repeat(`"a",`, 1000) + `"a"]}`,
	} {
		k := r.connect("bob", true)
		k.send(bad)
		k.expectClose(4503)
	}
}

// An acknowledgement beyond a gap does not cover it: who is told of gaps has to know.
func TestGapsInTheInboxAreTold(t *testing.T) {
	h := &heard{}
	r := newRig(t, h.options)
	k := r.connect("ann", true, "chess")
	first := r.publish(ann, message("a"))
	r.log.set(func() { r.log.keep = 2 })
	r.drop(ann, numbers("lost", 0, 5)...)
	r.publish(chess, message("c"))
	last := r.publish(ann, message("b"))
	k.wait("a gap", func([]got) bool { _, _, missed := h.all(); return len(missed) == 1 })
	_, _, missed := h.all()
	if missed[0][0] != first || !missed[0][0].Less(missed[0][1]) || last.Less(missed[0][1]) {
		t.Errorf("missed %v, want after %v", missed, first)
	}
}

// Where a client starts is what it has handled, also if the node that it told died first.
func TestStartAcknowledges(t *testing.T) {
	r := newRig(t)
	pos := r.publish(ann, message("a"))
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "again"}), true).read()
	k.send(`{"type":"start","pos":{"inbox":"` + pos.String() + `","all":"1-1"}}`)
	eventually(t, "it is told", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got := r.acked["again"]
		return len(got) == 1 && got[ann] == pos
	})
}

// The sweep looks at connections while one of them joins a group and a message is fanned out: each of the three has a lock.
func TestLookingAtWhatIsUnsentWaitsForNobody(t *testing.T) {
	inGive, goOn := make(chan struct{}), make(chan struct{})
	var block atomic.Pointer[Conn]
	r := newRig(t, func(o *Options) {
		o.Receipts.Given = func(c *Conn, _ protocol.Position) { // called by took, under the shard's mu
			if block.CompareAndSwap(c, nil) {
				close(inGive)
				<-goOn
			}
		}
	})
	slow := r.dial(r.admit(Info{ClientID: "ann", ID: "slow"}), false) // reads nothing
	eventually(t, "it takes messages", func() bool { slow.conn.mu.Lock(); defer slow.conn.mu.Unlock(); return slow.conn.started })
	awaited := func() { e := heavy("x"); e.Receipt = protocol.ReceiptDelivered; r.publish(ann, e) }
	for n := int64(1); slow.conn.sock.Queued() == 0; n++ {
		awaited()
		eventually(t, "it is handed over", func() bool { return r.hub.Counters().Delivered.Load() == n })
	}
	fast := r.connect("ann", false) // a later member: it is given first

	g := "" // a group on the same shard as the inbox
	for i := 0; g == ""; i++ {
		if name := fmt.Sprint("g", i); r.hub.shard(protocol.GroupOf(name)) == r.hub.shard(ann) {
			g = name
		}
	}
	st := protocol.GroupOf(g)
	r.hub.Hold(st)
	r.hub.Settle(st, at(10, 0))

	block.Store(fast.conn)
	done := make(chan struct{}, 3)
	e := asked("small")
	go func() { r.publish(ann, e); done <- struct{}{} }() // C: has the shard's mu, in took of fast
	<-inGive
	go func() { r.hub.Join(slow.conn, st, at(10, 0)); done <- struct{}{} }() // B: has slow's mu, waits for the shard's
	eventually(t, "the join has the connection's lock", func() bool {
		if slow.conn.mu.TryLock() {
			slow.conn.mu.Unlock()
			return false
		}
		return true
	})
	go func() { r.hub.unsent.look(r.hub); done <- struct{}{} }()    // A: has unsent's mu, waits for slow's
	<-time.After(200 * time.Millisecond)                            // it has come as far as it can
	close(goOn)                                                     // C: goes on to slow, whose message waits: wants unsent's mu
	watch := time.AfterFunc(patience, func() { panic("deadlock") }) // the cleanup would wait for ever, as a node does
	defer watch.Stop()
	for range 3 {
		<-done
	}
	r.hub.Release(st)
}
