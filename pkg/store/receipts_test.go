package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// ask sends a message whose sender wants a receipt, and returns where it is.
func ask(t testing.TB, s *Store, id string, level protocol.Receipt, ttl int64, a Await, idempotent bool, to ...string) []Receipt {
	t.Helper()
	e := message(id)
	e.Receipt, e.TTL = level, ttl
	r := s.PublishMany(ctxb, []Publication{{Envelope: e, Kind: protocol.Inbox, To: to, Idempotent: idempotent, Await: &a}})[0]
	must(t, r.Err)
	return r.Receipts
}

func acked(t testing.TB, s *Store, a Ack) {
	t.Helper()
	if a.Device == "" {
		a.Device = "web"
	}
	must(t, s.Acknowledge(ctxb, []Ack{a}))
}

func upTo(client string, pos protocol.Position) Ack {
	return Ack{ClientID: client, Pos: map[string]protocol.Position{"inbox": pos}}
}

// receiptsOf lists what a sender was told, as "id receiver state".
func receiptsOf(t testing.TB, s *Store, sender string) []string {
	t.Helper()
	entries, err := s.After(ctxb, protocol.InboxOf(sender), protocol.Position{}, 10000)
	must(t, err)
	out := []string{}
	for _, e := range entries {
		m, err := protocol.DecodeEnvelope(e.Envelope)
		must(t, err)
		if m.IsReceipt {
			var d struct{ ID, ClientID, State string }
			must(t, json.Unmarshal(m.Data, &d))
			out = append(out, d.ID+" "+d.ClientID+" "+d.State)
		}
	}
	return out
}

// receiptEvents lists the receipt events about a receiver, as "id from state".
func receiptEvents(t testing.TB, s *Store, client string) []string {
	t.Helper()
	out := []string{}
	for _, e := range eventsIn(t, s, client) {
		if e.Type == EventReceipt {
			out = append(out, e.ID+" "+e.From+" "+e.State)
		}
	}
	return out
}

// leftovers counts the keys that exist because somebody waits.
func leftovers(t testing.TB, s *Store) int {
	t.Helper()
	n := 0
	for _, p := range s.allPartitions() {
		for _, key := range []string{s.keys.expiry(p), s.keys.untold(p)} {
			there, err := s.do(ctxb, s.client.B().Exists().Key(key).Build()).AsInt64()
			must(t, err)
			n += int(there)
		}
	}
	for _, c := range []string{"anna", "bob", "carl"} {
		there, err := s.do(ctxb, s.client.B().Exists().Key(s.keys.await(c), s.keys.due(c)).Build()).AsInt64()
		must(t, err)
		n += int(there)
	}
	return n
}

func TestDeliveredByAcknowledging(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		m1 := ask(t, s, "m1", protocol.ReceiptDelivered, 0, Await{}, false, "anna", "bob")
		send(t, s, "anna", "ordinary")
		m2 := ask(t, s, "m2", protocol.ReceiptDelivered, 0, Await{}, false, "anna")
		m3 := ask(t, s, "m3", protocol.ReceiptDelivered, 0, Await{}, false, "anna")
		wantEqual(t, "before", receiptsOf(t, s, "sender"), []string{})

		acked(t, s, upTo("anna", m2[0].Pos))
		want := []string{"m1 anna delivered", "m2 anna delivered"}
		wantEqual(t, "told", receiptsOf(t, s, "sender"), want)
		wantEqual(t, "events", receiptEvents(t, s, "anna"), []string{"m1 sender delivered", "m2 sender delivered"})

		acked(t, s, upTo("anna", m2[0].Pos)) // again
		acked(t, s, upTo("anna", m1[0].Pos)) // an older one
		other := upTo("anna", m2[0].Pos)
		other.Device = "phone" // another device
		acked(t, s, other)
		acked(t, s, Ack{ClientID: "anna", Pos: map[string]protocol.Position{"all": m3[0].Pos, "group:x": m3[0].Pos}})
		wantEqual(t, "nothing new", receiptsOf(t, s, "sender"), want)

		acked(t, s, upTo("anna", m3[0].Pos))
		acked(t, s, upTo("bob", m1[1].Pos))
		wantEqual(t, "all", receiptsOf(t, s, "sender"), append(want, "m3 anna delivered", "m1 bob delivered"))
		wantEqual(t, "keys left", leftovers(t, s), 0)
		wantEqual(t, "cursor", connect(t, s, session(s, "anna"), "").Cursors["inbox"], m3[0].Pos)
	})
}

func TestReadAndDeliveredOnce(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		r1 := ask(t, s, "r1", protocol.ReceiptRead, 0, Await{}, false, "anna")
		ask(t, s, "r2", protocol.ReceiptRead, 0, Await{}, false, "anna")
		d := ask(t, s, "d", protocol.ReceiptDelivered, 0, Await{}, false, "anna")
		acked(t, s, upTo("anna", r1[0].Pos))
		acked(t, s, Ack{ClientID: "anna", Read: []string{"r1", "r2", "d", "unknown", "r1"}})
		want := []string{"r1 anna delivered", "r1 anna read", "r2 anna read", "d anna delivered"}
		wantEqual(t, "told", receiptsOf(t, s, "sender"), want)
		acked(t, s, Ack{ClientID: "anna", Read: []string{"r1", "r2", "d"}})
		acked(t, s, upTo("anna", d[0].Pos))
		wantEqual(t, "told again", receiptsOf(t, s, "sender"), want)
		wantEqual(t, "keys left", leftovers(t, s), 0)
	})
}

// Ids are the senders' own: two of them may use the same, also at the same receiver.
func TestSameIDOfTwoSenders(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		var last protocol.Position
		for i, from := range []string{"bob", "carl", ""} {
			e := &protocol.Envelope{ID: "1", From: from, Time: 1, Data: []byte("1"), Receipt: protocol.Receipt(1 + i%2)}
			r := s.PublishMany(ctxb, []Publication{{Envelope: e, Kind: protocol.Inbox, To: []string{"anna"}, Idempotent: true, Await: &Await{}}})[0]
			must(t, r.Err)
			if r.Receipts[0].Duplicate {
				t.Fatalf("%q: duplicate", from)
			}
			last = r.Receipts[0].Pos
		}
		acked(t, s, upTo("anna", last))
		acked(t, s, Ack{ClientID: "anna", Read: []string{"1"}})
		wantEqual(t, "bob", receiptsOf(t, s, "bob"), []string{"1 anna delivered"})
		wantEqual(t, "carl", receiptsOf(t, s, "carl"), []string{"1 anna delivered", "1 anna read"})
		wantEqual(t, "the system has no inbox", receiptsOf(t, s, ""), []string{})
		wantEqual(t, "events", receiptEvents(t, s, "anna"), []string{"1 bob delivered", "1 carl delivered", "1  delivered", "1 carl read"})
	})
}

// What is kept for a repetition of the send is over all the same, and others of the same id are not touched.
func TestSettledStaysSettled(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		late := ask(t, s, "late", protocol.ReceiptDelivered, 60, Await{}, true, "anna")[0].Pos
		due(t, s)
		must(t, s.expire(ctxb))
		read := ask(t, s, "read", protocol.ReceiptRead, 0, Await{}, true, "anna")[0].Pos
		for range 2 {
			acked(t, s, Ack{ClientID: "anna", Read: []string{"read", "late"}})
		}
		other := &protocol.Envelope{ID: "read", From: "bob", Time: 1, Data: []byte("1"), Receipt: protocol.ReceiptDelivered}
		must(t, s.PublishMany(ctxb, []Publication{{Envelope: other, Kind: protocol.Inbox, To: []string{"anna"}, Await: &Await{}}})[0].Err)
		acked(t, s, upTo("anna", read))
		acked(t, s, Ack{ClientID: "anna", Given: []protocol.Position{late, read}})
		want := []string{"late anna expired", "read anna read"}
		wantEqual(t, "told", receiptsOf(t, s, "sender"), want)
		wantEqual(t, "bob", receiptsOf(t, s, "bob"), []string{})
		wantEqual(t, "events", receiptEvents(t, s, "anna"), []string{"late sender expired", "read sender read"})
	})
}

func TestNamesAndIDsWithSpaces(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		from, to, id := "a b - c", "{x} y", `i "d" %s`
		e := &protocol.Envelope{ID: id, From: from, Time: 1, Data: []byte("1"), Receipt: protocol.ReceiptRead, TTL: 60}
		r := s.PublishMany(ctxb, []Publication{{Envelope: e, Kind: protocol.Inbox, To: []string{to}, Await: &Await{}}})[0]
		must(t, r.Err)
		acked(t, s, upTo(to, r.Receipts[0].Pos))
		acked(t, s, Ack{ClientID: to, Read: []string{id}})
		wantEqual(t, "told", receiptsOf(t, s, from), []string{id + " " + to + " delivered", id + " " + to + " read"})
	})
}

// A raw connection cannot acknowledge: the node says what it took.
func TestGivenToARawConnection(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		m1 := ask(t, s, "m1", protocol.ReceiptDelivered, 0, Await{}, false, "anna")
		m2 := ask(t, s, "m2", protocol.ReceiptDelivered, 0, Await{}, false, "anna")
		ordinary := send(t, s, "anna", "m3")
		acked(t, s, Ack{ClientID: "anna", Given: []protocol.Position{m2[0].Pos, ordinary}})
		wantEqual(t, "one", receiptsOf(t, s, "sender"), []string{"m2 anna delivered"})
		acked(t, s, Ack{ClientID: "anna", Given: []protocol.Position{m1[0].Pos, m2[0].Pos}})
		wantEqual(t, "both", receiptsOf(t, s, "sender"), []string{"m2 anna delivered", "m1 anna delivered"})
		wantEqual(t, "keys left", leftovers(t, s), 0)
	})
}

// A device that was told of a gap does not acknowledge what lay in it.
func TestGapsAreNotDelivered(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		m := make([]protocol.Position, 4)
		for i := range m {
			m[i] = ask(t, s, fmt.Sprint("m", i), protocol.ReceiptRead, 0, Await{}, false, "anna")[0].Pos
		}
		a := upTo("anna", m[3])
		a.Missed = []Span{{m[0], m[3]}}
		acked(t, s, a)
		acked(t, s, upTo("anna", m[3]))
		want := []string{"m0 anna delivered", "m3 anna delivered"}
		wantEqual(t, "told", receiptsOf(t, s, "sender"), want)
		acked(t, s, Ack{ClientID: "anna", Read: []string{"m1"}}) // its user found it elsewhere
		wantEqual(t, "told", receiptsOf(t, s, "sender"), append(want, "m1 anna read"))
	})
}

func TestManyAtOnce(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		var pubs []Publication
		var ids []string
		n := 2*awaitScan + 7
		if s.opts.Embedded {
			n = 50 // its scripts are so slow that more of them take a busy machine longer than a call may
		}
		for i := range n {
			e := message(fmt.Sprintf("m%04d", i))
			e.Receipt = protocol.ReceiptRead
			ids = append(ids, e.ID)
			pubs = append(pubs, Publication{Envelope: e, Kind: protocol.Inbox, To: []string{"anna"}, Await: &Await{}})
		}
		var last protocol.Position
		for _, r := range s.PublishMany(ctxb, pubs) {
			must(t, r.Err)
			last = r.Receipts[0].Pos
		}
		acked(t, s, upTo("anna", last))
		if got := receiptsOf(t, s, "sender"); len(got) != n {
			t.Fatalf("%d of %d are delivered", len(got), n)
		}
		acked(t, s, Ack{ClientID: "anna", Read: append(ids, names("unknown", 2*readsPerCall)...)})
		if got := receiptEvents(t, s, "anna"); len(got) != 2*n {
			t.Fatalf("%d events, want %d", len(got), 2*n)
		}
		wantEqual(t, "keys left", leftovers(t, s), 0)
	})
}

// due makes everything in expiry look due.
func due(t testing.TB, s *Store) {
	t.Helper()
	for _, p := range s.allPartitions() {
		members, err := s.do(ctxb, s.client.B().Zrange().Key(s.keys.expiry(p)).Min("0").Max("-1").Build()).AsStrSlice()
		must(t, err)
		for _, m := range members {
			must(t, s.do(ctxb, s.client.B().Zadd().Key(s.keys.expiry(p)).ScoreMember().ScoreMember(1, m).Build()).Error())
		}
	}
}

func TestExpired(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		late := ask(t, s, "late", protocol.ReceiptDelivered, 60, Await{}, false, "anna")
		ask(t, s, "late too", protocol.ReceiptRead, 60, Await{}, false, "anna")
		ask(t, s, "for ever", protocol.ReceiptRead, 0, Await{}, false, "anna")
		done := ask(t, s, "done", protocol.ReceiptDelivered, 60, Await{}, false, "bob")
		unread := ask(t, s, "unread", protocol.ReceiptRead, 60, Await{}, false, "bob")
		acked(t, s, upTo("bob", unread[0].Pos))
		must(t, s.expire(ctxb)) // too early
		want := []string{"done bob delivered", "unread bob delivered"}
		wantEqual(t, "early", receiptsOf(t, s, "sender"), want)

		due(t, s)
		must(t, s.expire(ctxb))
		must(t, s.expire(ctxb))
		got := receiptsOf(t, s, "sender")
		slices.Sort(got)
		wantEqual(t, "expired", got, []string{"done bob delivered", "late anna expired", "late too anna expired", "unread bob delivered"})
		wantEqual(t, "events", receiptEvents(t, s, "bob"), []string{"done sender delivered", "unread sender delivered"})
		wantEqual(t, "keys left", leftovers(t, s), 0)

		acked(t, s, upTo("anna", late[0].Pos)) // over is over
		acked(t, s, Ack{ClientID: "bob", Read: []string{"unread"}, Given: []protocol.Position{done[0].Pos}})
		wantEqual(t, "late acknowledgement", len(receiptsOf(t, s, "sender")), 4)
	})
}

func TestExpiresByTheClock(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		begin := time.Now()
		ask(t, s, "m", protocol.ReceiptDelivered, 1, Await{}, false, "anna")
		eventually(t, "it expires", func() bool {
			must(t, s.expire(ctxb))
			return len(receiptsOf(t, s, "sender")) == 1
		})
		if d := time.Since(begin); d < 900*time.Millisecond {
			t.Errorf("a ttl of 1 s passed after %v", d)
		}
		wantEqual(t, "told", receiptsOf(t, s, "sender"), []string{"m anna expired"})
	})
}

func TestManyExpire(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		const n = 2*expireBatch + 3
		for i := range n {
			ask(t, s, fmt.Sprint(i), protocol.ReceiptDelivered, 60, Await{}, false, "anna")
		}
		due(t, s)
		must(t, s.expire(ctxb))
		wantEqual(t, "told", len(receiptsOf(t, s, "sender")), n)
		wantEqual(t, "keys left", leftovers(t, s), 0)
	})
}

func TestRepeatedSendHasOneReceipt(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		first := ask(t, s, "m", protocol.ReceiptDelivered, 60, Await{}, true, "anna")
		for range 2 {
			again := ask(t, s, "m", protocol.ReceiptDelivered, 60, Await{}, true, "anna", "bob")
			if !again[0].Duplicate || again[0].Pos != first[0].Pos {
				t.Fatalf("the repetition is %+v", again)
			}
			acked(t, s, upTo("anna", first[0].Pos))
			acked(t, s, upTo("bob", again[1].Pos))
		}
		wantEqual(t, "told", receiptsOf(t, s, "sender"), []string{"m anna delivered", "m bob delivered"})
		states, err := s.Awaited(ctxb, "m", first, "") // a repetition may still ask
		must(t, err)
		wantEqual(t, "states", states, []string{"delivered"})
		due(t, s)
		must(t, s.expire(ctxb))
		wantEqual(t, "keys left", leftovers(t, s), 0)
		// Once more, when all is forgotten, and to somebody new in the same call.
		neighbour := ""
		for i := 0; neighbour == ""; i++ {
			if id := fmt.Sprint("n", i); s.Partition(id) == s.Partition("anna") {
				neighbour = id
			}
		}
		r := ask(t, s, "m", protocol.ReceiptDelivered, 60, Await{}, true, "anna", neighbour)
		acked(t, s, upTo(neighbour, r[1].Pos))
		acked(t, s, upTo("anna", r[0].Pos))
		wantEqual(t, "told", receiptsOf(t, s, "sender")[2:], []string{"m " + neighbour + " delivered"})
		wantEqual(t, "events", receiptEvents(t, s, "anna"), []string{"m sender delivered"})
	})
}

// Whoever marks a receipt may die before, or after, it is in the sender's inbox.
func TestJanitorTellsWhatOthersDidNot(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for _, published := range []bool{false, true} {
			id := fmt.Sprint("m-", published)
			pos := ask(t, s, id, protocol.ReceiptDelivered, 0, Await{}, false, "anna")[0].Pos
			a := upTo("anna", pos)
			c := s.appendAck(nil, &a)[0] // the first half of Acknowledge
			m, err := s.run(ctxb, acknowledgeScript, c.keys, c.args).ToMessage()
			must(t, err)
			_, marks, err := parseUntold(&m)
			must(t, err)
			wantEqual(t, "marks", len(marks), 1)
			if published {
				pub := marks[0].publication()
				must(t, s.PublishMany(ctxb, []Publication{pub})[0].Err)
			}
			before := len(receiptsOf(t, s, "sender"))
			must(t, s.retell(ctxb))
			wantEqual(t, "too young to be taken", len(receiptsOf(t, s, "sender")), before)
			ageUntold(t, s, "anna", marks[0])
			j := newTestJanitor(s)
			must(t, j.round(ctxb))
			j.release(ctxb)
			wantEqual(t, "keys left", leftovers(t, s), 0)
		}
		wantEqual(t, "told", receiptsOf(t, s, "sender"), []string{"m-false anna delivered", "m-true anna delivered"})
		wantEqual(t, "events", len(receiptEvents(t, s, "anna")), 2)
	})
}

func ageUntold(t testing.TB, s *Store, client string, u untold) {
	t.Helper()
	there, err := s.do(ctxb, s.client.B().Hexists().Key(s.keys.untold(s.Partition(client))).Field(u.field).Build()).AsBool()
	must(t, err)
	wantEqual(t, "the mark is there", there, true)
	must(t, s.do(ctxb, s.client.B().Hset().Key(s.keys.untold(s.Partition(client))).FieldValue().
		FieldValue(u.field, "1\n"+u.id+"\n"+u.from).Build()).Error())
}

// waiterEar collects what waiters are told.
type waiterEar struct {
	mu    sync.Mutex
	lines []string
}

func (w *waiterEar) Message(_ string, payload []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	parts := strings.Split(string(payload), "\n") // id, receiver, position, state
	if _, err := protocol.ParsePosition(parts[2]); err != nil {
		panic(err)
	}
	w.lines = append(w.lines, parts[0]+" "+parts[1]+" "+parts[3])
}
func (w *waiterEar) Lost(error) {}
func (w *waiterEar) Restored()  {}

func (w *waiterEar) heard() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.lines)
}

func TestWaitersAreTold(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ear := &waiterEar{}
		sub := s.NewSubscriber(ear)
		ctx, cancel := context.WithCancel(ctxb)
		done := make(chan struct{})
		go func() { defer close(done); _ = sub.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
		soon, end := context.WithTimeout(ctx, subscribeWithin)
		defer end()
		must(t, sub.Subscribe(soon, s.WaiterChannel("w1"), s.WaiterChannel("w2")))

		w := Await{Waiter: "w1"}
		q := ask(t, s, "q", protocol.ReceiptDelivered, 60, Await{Waiter: "w1", Quiet: true}, false, "anna")
		r := ask(t, s, "r", protocol.ReceiptRead, 60, w, false, "anna", "bob")
		x := ask(t, s, "x", protocol.ReceiptDelivered, 60, w, false, "carl")
		acked(t, s, upTo("anna", r[0].Pos))
		acked(t, s, Ack{ClientID: "anna", Read: []string{"r", "q"}})
		due(t, s)
		must(t, s.expire(ctxb))
		want := []string{"q anna delivered", "r anna delivered", "r anna read", "r bob expired", "x carl expired"}
		eventually(t, "five lines", func() bool { return len(ear.heard()) >= len(want) })
		got := ear.heard()
		slices.Sort(got)
		wantEqual(t, "heard", got, want)
		for _, line := range slices.Concat(receiptsOf(t, s, "sender"), receiptEvents(t, s, "anna")) {
			if strings.HasPrefix(line, "q ") {
				t.Errorf("a quiet one was told: %s", line)
			}
		}
		// The answers are kept for a while: bob's and carl's; anna's were looked at by the sweep and are forgotten.
		for _, c := range []struct {
			id string
			rs []Receipt
			w  []string
		}{{"q", q, []string{""}}, {"r", r, []string{"", "expired"}}, {"x", x, []string{"expired"}}} {
			states, err := s.Awaited(ctxb, c.id, c.rs, "")
			must(t, err)
			wantEqual(t, c.id, states, c.w)
		}
		due(t, s)
		must(t, s.expire(ctxb))
		wantEqual(t, "keys left", leftovers(t, s), 0)

		// A repetition is told what happens to the message of the first send.
		m := ask(t, s, "m", protocol.ReceiptDelivered, 0, w, true, "anna")
		states, err := s.Awaited(ctxb, "m", m, "w2")
		must(t, err)
		wantEqual(t, "open", states, []string{""})
		acked(t, s, upTo("anna", m[0].Pos))
		eventually(t, "the other waiter is told", func() bool { return len(ear.heard()) == len(want)+1 })
		states, err = s.Awaited(ctxb, "m", m, "")
		must(t, err)
		wantEqual(t, "kept", states, []string{"delivered"})
	})
}

// A message may be delivered when its history is nearly over, and be read long after that.
func TestReadAfterALateDelivery(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	r := ask(t, s, "m", protocol.ReceiptRead, 0, Await{}, false, "anna")
	keys := []string{s.keys.await("anna"), s.keys.due("anna")}
	pass := func(d time.Duration) { // for these keys
		for _, key := range keys {
			left, err := s.do(ctxb, s.client.B().Pttl().Key(key).Build()).AsInt64()
			must(t, err)
			must(t, s.do(ctxb, s.client.B().Pexpire().Key(key).Milliseconds(max(1, left-d.Milliseconds())).Build()).Error())
		}
	}
	pass(s.opts.HistoryTTL - time.Hour)
	acked(t, s, upTo("anna", r[0].Pos))
	pass(s.opts.HistoryTTL - time.Hour)
	<-time.After(2 * time.Millisecond) // what has no time left is gone
	acked(t, s, Ack{ClientID: "anna", Read: []string{"m"}})
	wantEqual(t, "events", receiptEvents(t, s, "anna"), []string{"m sender delivered", "m sender read"})
}

// What nobody waits for any more goes; what is kept lives as long as it may matter.
func TestAwaitedIsBounded(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), HistoryTTL: time.Hour})
	ask(t, s, "short", protocol.ReceiptDelivered, 0, Await{}, false, "anna")
	life := func() time.Duration {
		ms, err := s.do(ctxb, s.client.B().Pttl().Key(s.keys.await("anna")).Build()).AsInt64()
		must(t, err)
		return time.Duration(ms) * time.Millisecond
	}
	if d := life(); d < time.Hour || d > time.Hour+awaitSlack {
		t.Errorf("it lives %v", d)
	}
	ask(t, s, "long", protocol.ReceiptDelivered, 48*3600, Await{}, false, "anna")
	ask(t, s, "short again", protocol.ReceiptDelivered, 0, Await{}, false, "anna")
	if d := life(); d < 48*time.Hour {
		t.Errorf("it lives %v, less than the ttl of a message in it", d)
	}

	pubs := make([]Publication, maxAwaited)
	for i := range pubs {
		e := message(fmt.Sprint("m", i))
		e.Receipt = protocol.ReceiptDelivered
		pubs[i] = Publication{Envelope: e, Kind: protocol.Inbox, To: []string{"anna"}, Await: &Await{}}
	}
	for some := range slices.Chunk(pubs, 500) { // a busy machine does not do all of them within the time of one call
		for _, r := range s.PublishMany(ctxb, some) {
			must(t, r.Err)
		}
	}
	n, err := s.do(ctxb, s.client.B().Hlen().Key(s.keys.await("anna")).Build()).AsInt64()
	must(t, err)
	wantEqual(t, "waits", n, maxAwaited)
	there, err := s.do(ctxb, s.client.B().Hexists().Key(s.keys.await("anna")).Field("short").Build()).AsBool()
	must(t, err)
	wantEqual(t, "the oldest is there", there, false)
}

// An inbox that expired may start again below what is remembered as due, if the clock was set back.
func TestDueStartsAgain(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		must(t, s.do(ctxb, s.client.B().Xadd().Key(s.keys.due("anna")).Id("99999999999999-1").FieldValue().FieldValue("i", "x").Build()).Error())
		pos := ask(t, s, "m", protocol.ReceiptDelivered, 0, Await{}, false, "anna")[0].Pos
		acked(t, s, upTo("anna", pos))
		wantEqual(t, "told", receiptsOf(t, s, "sender"), []string{"m anna delivered"})
	})
}

func TestAcknowledgingWhileRedisIsAway(t *testing.T) {
	redis := redistest.Start(t)
	s := openHasty(t, Options{URL: redis.URL()})
	pos := ask(t, s, "m", protocol.ReceiptDelivered, 0, Await{}, false, "anna")[0].Pos
	redis.Kill()
	wantUnavailable(t, s.Acknowledge(ctxb, []Ack{upTo("anna", pos)}))
	_, err := s.Awaited(ctxb, "m", []Receipt{{Addr: "anna", Pos: pos}}, "")
	wantUnavailable(t, err)
	wantUnavailable(t, s.expire(ctxb))
	wantUnavailable(t, s.retell(ctxb))
}

// BenchmarkReceipt is a send with a receipt, and its acknowledgement.
func BenchmarkReceipt(b *testing.B) {
	s := open(b, Options{URL: redistest.Start(b).URL(), Partitions: 256})
	to := names("client", 1000)
	for i := 0; b.Loop(); i++ {
		pos := ask(b, s, protocol.NewID(), protocol.ReceiptDelivered, 0, Await{}, false, to[i%1000])[0].Pos
		acked(b, s, upTo(to[i%1000], pos))
	}
}
