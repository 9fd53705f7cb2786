package check

import (
	"testing"

	"github.com/imtier/imtier/e2e/internal/ledger"
)

// ask sends to alice for bob, who wants to know.
func (b *book) ask(receipt, key, pos string) {
	b.with(func(s *ledger.Send) { s.From, s.Receipt = "bob", receipt }, func() { b.send(key, pos) })
}

// receipt comes to bob.
func (b *book) receipt(conn int, key, state, pos string) {
	b.bob.Add(ledger.Entry{At: b.tick(), Conn: conn, What: ledger.Receipt, Stream: "inbox", ID: key, Of: "alice", State: state, Pos: pos})
}

func (b *book) read(key string) {
	b.alice.Add(ledger.Entry{At: b.tick(), Conn: 1, What: ledger.Read, ID: key, Key: key})
}

func TestCompareReceipts(t *testing.T) {
	t.Parallel()
	run(t, []comparison{
		{"delivered", func(b *book) {
			b.ask("delivered", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.receipt(1, "a", "delivered", "6-1")
		}, nil},
		{"delivered and read", func(b *book) {
			b.ask("read", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.receipt(1, "a", "delivered", "6-1")
			b.read("a")
			b.receipt(1, "a", "read", "6-2")
		}, nil},
		{"read at once", func(b *book) {
			b.ask("read", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.read("a")
			b.receipt(1, "a", "read", "6-1")
		}, nil},
		{"asked, sent in vain", func(b *book) { b.ask("delivered", "a", "") }, nil},
		{"the receiver is away", func(b *book) {
			b.ask("delivered", "a", "5-1")
			b.close(b.alice, 1)
		}, nil},
		{"repeated after a reconnect", func(b *book) {
			b.ask("delivered", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.receipt(1, "a", "delivered", "6-1")
			b.close(b.bob, 1)
			b.open(b.bob, 2, "6-0")
			b.receipt(2, "a", "delivered", "6-1")
		}, nil},
		{"Redis may have lost it", func(b *book) {
			b.ask("delivered", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.p.Lost(b.tick())
		}, nil},
		{"the receiver was told of a gap", func(b *book) {
			b.ask("delivered", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.mayAlarm()
			b.gap(1, "inbox", "5-1", "9-1")
		}, nil},

		{"missing", func(b *book) {
			b.ask("delivered", "a", "5-1")
			b.inbox(1, "a", "5-1")
		}, []Rule{Receipt}},
		{"read is missing", func(b *book) {
			b.ask("read", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.receipt(1, "a", "delivered", "6-1")
			b.read("a")
		}, []Rule{Receipt}},
		{"before it was delivered", func(b *book) {
			b.ask("delivered", "a", "5-1")
			b.receipt(1, "a", "delivered", "6-1")
			b.inbox(1, "a", "5-1")
		}, []Rule{Receipt}},
		{"of what was never delivered", func(b *book) {
			b.ask("delivered", "a", "")
			b.receipt(1, "a", "delivered", "6-1")
		}, []Rule{Receipt}},
		{"read, and nobody has", func(b *book) {
			b.ask("read", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.receipt(1, "a", "read", "6-1")
		}, []Rule{Receipt}},
		{"read was not asked for", func(b *book) {
			b.ask("delivered", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.read("a")
			b.receipt(1, "a", "read", "6-1")
		}, []Rule{Receipt}},
		{"expired", func(b *book) {
			b.ask("delivered", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.receipt(1, "a", "delivered", "6-1")
			b.receipt(1, "a", "expired", "6-2")
		}, []Rule{Receipt}},
		{"nobody asked", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.receipt(1, "a", "delivered", "6-1")
		}, []Rule{Stray}},
		{"somebody else asked", func(b *book) {
			b.with(func(s *ledger.Send) { s.From, s.Receipt = "carol", "delivered" }, func() { b.send("a", "5-1") })
			b.inbox(1, "a", "5-1")
			b.receipt(1, "a", "delivered", "6-1")
		}, []Rule{Stray}},
		{"twice", func(b *book) {
			b.ask("delivered", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.receipt(1, "a", "delivered", "6-1")
			b.receipt(1, "a", "delivered", "6-2")
		}, []Rule{Duplicate}},
		{"out of order", func(b *book) {
			b.ask("read", "a", "5-1")
			b.inbox(1, "a", "5-1")
			b.read("a")
			b.receipt(1, "a", "delivered", "6-2")
			b.receipt(1, "a", "read", "6-1")
		}, []Rule{Reorder}},
	})
}

// silent makes a connection that says nothing of where alice stopped, and begins at pos.
func (b *book) silent(way ledger.Way, pos string) {
	b.close(b.alice, 1)
	b.alice.Add(ledger.Entry{At: b.tick(), Conn: 2, What: ledger.Opened, Way: way})
	for _, st := range []string{"inbox", "all", "group:room"} {
		b.alice.Add(ledger.Entry{At: b.tick(), Conn: 2, What: ledger.Started, Stream: st, Pos: pos, Recovered: true, Way: way})
	}
}

func TestCompareWaysBack(t *testing.T) {
	t.Parallel()
	var all = func(b *book, got bool) {
		b.sendTo(ledger.Broadcast, "", "", "a", "5-1")
		b.got(b.alice, 1, "all", "a", "5-1")
		b.got(b.bob, 1, "all", "a", "5-1")
		b.p.Calm(b.tick())
		b.sendTo(ledger.Broadcast, "", "", "b", "5-2")
		b.got(b.bob, 1, "all", "b", "5-2")
		if got {
			b.silent(ledger.ByCursor, "5-1")
			b.got(b.alice, 2, "all", "b", "5-2")
		}
	}
	run(t, []comparison{
		{"where it had acknowledged", func(b *book) { all(b, true) }, nil},
		{"further back", func(b *book) {
			all(b, false)
			b.silent(ledger.ByCursor, "5-0")
			b.got(b.alice, 2, "all", "a", "5-1")
			b.got(b.alice, 2, "all", "b", "5-2")
		}, nil},
		{"a device that was never there", func(b *book) {
			all(b, false)
			b.silent(ledger.ByNothing, "5-2")
		}, nil},
		{"not stored yet", func(b *book) {
			b.sendTo(ledger.Broadcast, "", "", "b", "5-1")
			b.got(b.bob, 1, "all", "b", "5-1")
			b.silent(ledger.ByCursor, "5-1")
		}, nil},
		{"Redis may have lost it", func(b *book) {
			all(b, false)
			b.p.Lost(b.tick())
			b.silent(ledger.ByCursor, "5-2")
		}, nil},
		{"Redis may have lost everything", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.p.Calm(b.tick())
			b.send("b", "6-1")
			b.p.Lost(b.tick())
			b.send("c", "7-1")
			b.silent(ledger.ByCursor, "0-0")
			b.inbox(2, "c", "7-1")
		}, nil},
		{"beyond what it had acknowledged", func(b *book) {
			all(b, false)
			b.silent(ledger.ByCursor, "5-2")
		}, []Rule{Loss}},
		{"beyond what any device had acknowledged", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.p.Calm(b.tick())
			b.send("b", "5-2")
			b.silent(ledger.ByNothing, "5-2")
		}, []Rule{Loss}},
	})
}
