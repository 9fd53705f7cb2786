package hub

import (
	"slices"
	"strings"
	"sync"
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
