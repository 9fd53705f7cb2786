package check

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
)

// book builds ledgers: alice is in the room, bob is not.
type book struct {
	p          ledger.Publisher
	alice, bob *ledger.Client
	now        time.Time
	seq        int
	change     func(*ledger.Send) // of what is sent
}

func newBook() *book {
	b := &book{alice: ledger.NewClient("alice", "room"), bob: ledger.NewClient("bob"), now: time.Unix(1000, 0)}
	for _, c := range []*ledger.Client{b.alice, b.bob} {
		b.open(c, 1, "")
	}
	return b
}

func (b *book) tick() time.Time { b.now = b.now.Add(time.Millisecond); return b.now }

// open makes a connection; asked "" begins anew, at position 0-0 or that of the second.
func (b *book) open(c *ledger.Client, conn int, asked string, lost ...string) {
	c.Add(ledger.Entry{At: b.tick(), Conn: conn, What: ledger.Opened})
	for _, st := range append([]string{"inbox", "all"}, groupStreams(c)...) {
		e := ledger.Entry{At: b.tick(), Conn: conn, What: ledger.Started, Stream: st, Pos: "0-0", Recovered: !slices.Contains(lost, st)}
		if asked != "" {
			e.Asked, e.Pos = asked, asked
		}
		c.Add(e)
	}
}

// startAt makes alice's second connection, which begins her inbox somewhere.
func (b *book) startAt(asked, pos string, recovered bool) {
	b.close(b.alice, 1)
	b.alice.Add(ledger.Entry{At: b.tick(), Conn: 2, What: ledger.Opened})
	b.alice.Add(ledger.Entry{At: b.tick(), Conn: 2, What: ledger.Started, Stream: "inbox", Asked: asked, Pos: pos, Recovered: recovered})
}

func groupStreams(c *ledger.Client) (out []string) {
	for _, g := range c.Groups {
		out = append(out, "group:"+g)
	}
	return out
}

func (b *book) close(c *ledger.Client, conn int) {
	c.Add(ledger.Entry{At: b.tick(), Conn: conn, What: ledger.Closed})
}

// send adds an attempt to write to alice's inbox, with success if there is a position.
func (b *book) send(key, pos string) { b.sendTo(ledger.Direct, "alice", "", key, pos) }

func (b *book) sendTo(kind ledger.Kind, to, except, key, pos string) {
	b.seq++
	s := ledger.Send{
		Key: key, Sender: "s", Seq: b.seq, Kind: kind, To: []string{to}, Except: except,
		Called: b.tick(), Returned: b.tick(), Outcome: ledger.Unknown,
	}
	if kind == ledger.Broadcast {
		s.To = nil
	}
	if pos != "" {
		s.Outcome, s.Pos = ledger.OK, map[string]string{to: pos}
	}
	if b.change != nil {
		b.change(&s)
	}
	b.p.Add(s)
}

// retry sends a message once more; the answer says that it was there already.
func (b *book) retry(key, pos string) { b.retryAs(key, pos, true) }

func (b *book) retryAs(key, pos string, repeated bool) {
	b.seq--
	b.with(func(s *ledger.Send) { s.Repeated = repeated }, func() { b.send(key, pos) })
}

// with makes sends with more than usual.
func (b *book) with(change func(*ledger.Send), f func()) {
	b.change = change
	f()
	b.change = nil
}

func (b *book) got(c *ledger.Client, conn int, stream, key, pos string) {
	c.Add(ledger.Entry{At: b.tick(), Conn: conn, What: ledger.Message, Stream: stream, Key: key, Pos: pos})
}

func (b *book) inbox(conn int, key, pos string) { b.got(b.alice, conn, "inbox", key, pos) }

func (b *book) gap(conn int, stream, from, to string) {
	b.alice.Add(ledger.Entry{At: b.tick(), Conn: conn, What: ledger.Gap, Stream: stream, Pos: from, To: to})
}

func (b *book) left(conn int, stream string) {
	b.alice.Add(ledger.Entry{At: b.tick(), Conn: conn, What: ledger.Left, Stream: stream})
}

func (b *book) joined(conn int, stream, pos string) {
	b.alice.Add(ledger.Entry{At: b.tick(), Conn: conn, What: ledger.Joined, Stream: stream, Pos: pos})
}

func TestCompare(t *testing.T) {
	t.Parallel()
	run(t, []comparison{
		// What is right.
		{"nothing happened", func(*book) {}, nil},
		{"all arrived", func(b *book) {
			b.send("a", "5-1")
			b.send("b", "5-2")
			b.inbox(1, "a", "5-1")
			b.inbox(1, "b", "5-2")
			b.sendTo(ledger.Group, "room", "", "g", "7-1")
			b.got(b.alice, 1, "group:room", "g", "7-1")
			b.sendTo(ledger.Broadcast, "", "", "all", "8-1")
			b.got(b.alice, 1, "all", "all", "8-1")
			b.got(b.bob, 1, "all", "all", "8-1")
		}, nil},
		{"resumed", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.close(b.alice, 1)
			b.send("b", "5-2")
			b.open(b.alice, 2, "5-1")
			b.inbox(2, "b", "5-2")
		}, nil},
		{"repeated after a reconnect", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.close(b.alice, 1)
			b.open(b.alice, 2, "5-0")
			b.inbox(2, "a", "5-1")
		}, nil},
		{"excluded", func(b *book) {
			b.sendTo(ledger.Group, "room", "alice", "a", "5-1")
			b.sendTo(ledger.Group, "room", "", "b", "5-2")
			b.got(b.alice, 1, "group:room", "b", "5-2")
		}, nil},
		{"a failed send that did not take place", func(b *book) { b.send("a", "") }, nil},
		{"a failed send that took place once", func(b *book) {
			b.send("a", "")
			b.inbox(1, "a", "5-1")
		}, nil},
		{"a retried send", func(b *book) {
			b.send("a", "")
			b.retry("a", "5-1")
			b.inbox(1, "a", "5-1")
		}, nil},
		{"lost and told by a gap", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.send("b", "5-2")
			b.p.Lost(b.tick())
			b.send("c", "9-1")
			b.gap(1, "inbox", "5-1", "9-1")
			b.inbox(1, "c", "9-1")
		}, nil},
		{"lost and told at the start", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.send("b", "5-2")
			b.p.Lost(b.tick())
			b.close(b.alice, 1)
			b.open(b.alice, 2, "5-1", "inbox")
			b.send("c", "9-1")
			b.inbox(2, "c", "9-1")
		}, nil},
		{"lost at the end and told", func(b *book) {
			b.send("a", "5-1")
			b.p.Lost(b.tick())
			b.close(b.alice, 1)
			b.open(b.alice, 2, "0-0", "inbox")
		}, nil},
		{"away in the end", func(b *book) {
			b.send("a", "5-1")
			b.close(b.alice, 1)
		}, nil},
		{"stored twice because Redis lost it, and told", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.p.Lost(b.tick())
			b.gap(1, "inbox", "5-1", "9-1")
			b.inbox(1, "a", "9-1")
		}, nil},
		{"sent before it joined", func(b *book) {
			b.left(1, "group:room")
			b.sendTo(ledger.Group, "room", "", "a", "5-1")
			b.joined(1, "group:room", "5-1")
			b.sendTo(ledger.Group, "room", "", "b", "5-2")
			b.got(b.alice, 1, "group:room", "b", "5-2")
		}, []Rule{Unfollowed}}, // and no loss
		{"forgotten before it joined", func(b *book) {
			b.left(1, "group:room")
			b.sendTo(ledger.Group, "room", "", "a", "5-1")
			b.p.Lost(b.tick())
			b.joined(1, "group:room", "0-0")
			b.sendTo(ledger.Group, "room", "", "b", "9-1")
			b.got(b.alice, 1, "group:room", "b", "9-1")
		}, []Rule{Unfollowed}},

		// What is wrong.
		{"not forgotten before it joined", func(b *book) {
			b.left(1, "group:room")
			b.sendTo(ledger.Group, "room", "", "a", "5-1")
			b.joined(1, "group:room", "0-0")
			b.sendTo(ledger.Group, "room", "", "b", "9-1")
			b.got(b.alice, 1, "group:room", "b", "9-1")
		}, []Rule{Unfollowed, SilentGap}},
		{"loss", func(b *book) { b.send("a", "5-1") }, []Rule{Loss}},
		{"loss of a broadcast", func(b *book) {
			b.sendTo(ledger.Broadcast, "", "", "a", "5-1")
			b.got(b.alice, 1, "all", "a", "5-1")
		}, []Rule{Loss}},
		{"loss of a group message", func(b *book) { b.sendTo(ledger.Group, "room", "", "a", "5-1") }, []Rule{Loss}},
		{"loss after a resume", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.send("b", "5-2")
			b.close(b.alice, 1)
			b.open(b.alice, 2, "5-1")
		}, []Rule{Loss}},
		{"silent gap", func(b *book) {
			b.send("a", "5-1")
			b.send("b", "5-2")
			b.inbox(1, "b", "5-2")
		}, []Rule{SilentGap}},
		{"silent gap over a reconnect", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.close(b.alice, 1)
			b.send("b", "5-2")
			b.send("c", "5-3")
			b.open(b.alice, 2, "5-1")
			b.inbox(2, "c", "5-3")
		}, []Rule{SilentGap}},
		{"told too late", func(b *book) {
			b.send("a", "5-1")
			b.p.Lost(b.tick())
			b.send("b", "9-1")
			b.inbox(1, "b", "9-1")
			b.gap(1, "inbox", "0-0", "9-1")
		}, []Rule{SilentGap}},
		{"told too early", func(b *book) {
			b.p.Lost(b.tick())
			b.gap(1, "inbox", "0-0", "9-1")
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.send("b", "5-2")
			b.send("c", "9-1")
			b.inbox(1, "c", "9-1")
		}, []Rule{SilentGap}},
		{"told of another stretch", func(b *book) {
			b.send("a", "5-1")
			b.p.Lost(b.tick())
			b.gap(1, "inbox", "6-1", "9-1")
			b.send("b", "9-1")
			b.inbox(1, "b", "9-1")
		}, []Rule{SilentGap}},
		{"told of another stream", func(b *book) {
			b.send("a", "5-1")
			b.p.Lost(b.tick())
			b.gap(1, "all", "0-0", "9-1")
			b.send("b", "9-1")
			b.inbox(1, "b", "9-1")
		}, []Rule{SilentGap}},
		{"position given out again", func(b *book) {
			b.send("a", "5-1")
			b.send("b", "5-2")
			b.inbox(1, "a", "5-1")
			b.inbox(1, "b", "5-2")
			b.send("c", "5-2")
		}, []Rule{Fork, Reorder, Loss}},
		{"another message at a position", func(b *book) {
			b.sendTo(ledger.Broadcast, "", "", "a", "5-1")
			b.sendTo(ledger.Broadcast, "", "", "b", "")
			b.got(b.alice, 1, "all", "a", "5-1")
			b.got(b.bob, 1, "all", "b", "5-1")
		}, []Rule{Fork, Loss}},
		{"duplicate", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.inbox(1, "a", "5-2")
		}, []Rule{Duplicate}},
		{"duplicate at the same position", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.inbox(1, "a", "5-1")
		}, []Rule{Reorder, Duplicate}},
		{"duplicate over a reconnect", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.close(b.alice, 1)
			b.open(b.alice, 2, "5-1")
			b.inbox(2, "a", "5-2")
		}, []Rule{Duplicate}},
		{"retried id stored twice", func(b *book) {
			b.send("a", "5-1")
			b.retry("a", "5-2")
			b.inbox(1, "a", "5-1")
		}, []Rule{Duplicate}},
		{"reorder", func(b *book) {
			b.send("a", "5-1")
			b.send("b", "5-2")
			b.inbox(1, "b", "5-2")
			b.inbox(1, "a", "5-1")
		}, []Rule{Reorder, Reorder}}, // by position and by sender
		{"older than where it resumed", func(b *book) {
			b.send("a", "5-1")
			b.close(b.alice, 1)
			b.open(b.alice, 2, "5-1")
			b.inbox(2, "a", "5-1")
		}, []Rule{Reorder}},
		{"awaited sends stored out of order", func(b *book) {
			b.send("a", "5-2")
			b.send("b", "5-1")
			b.inbox(1, "b", "5-1")
			b.inbox(1, "a", "5-2")
		}, []Rule{Reorder, Reorder}},
		{"ghost", func(b *book) {
			b.send("a", "")
			b.inbox(1, "a", "5-1")
			b.inbox(1, "a", "5-2")
		}, []Rule{Ghost}},
		{"ghost over a reconnect", func(b *book) {
			b.send("a", "")
			b.inbox(1, "a", "5-1")
			b.close(b.alice, 1)
			b.open(b.alice, 2, "5-1")
			b.inbox(2, "a", "5-2")
		}, []Rule{Ghost}},
		{"never sent", func(b *book) { b.inbox(1, "a", "5-1") }, []Rule{Stray}},
		{"stray direct", func(b *book) {
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
			b.got(b.bob, 1, "inbox", "a", "5-1")
		}, []Rule{Stray}},
		{"stray group message", func(b *book) {
			b.sendTo(ledger.Group, "room", "", "a", "5-1")
			b.got(b.alice, 1, "group:room", "a", "5-1")
			b.got(b.bob, 1, "group:room", "a", "5-1")
		}, []Rule{Stray}},
		{"in the wrong stream", func(b *book) {
			b.sendTo(ledger.Group, "room", "", "a", "5-1")
			b.inbox(1, "a", "5-1")
		}, []Rule{Stray, Loss}},
		{"to the excluded one", func(b *book) {
			b.sendTo(ledger.Group, "room", "alice", "a", "5-1")
			b.got(b.alice, 1, "group:room", "a", "5-1")
		}, []Rule{Stray}},
		{"begins before what it asked for", func(b *book) {
			b.given("a", "5-1")
			b.given("b", "5-2")
			b.startAt("5-2", "5-1", true)
			b.inbox(2, "b", "5-2")
		}, []Rule{Duplicate}},
		{"begins after what it asked for", func(b *book) {
			b.given("a", "5-1")
			b.given("b", "5-2")
			b.startAt("5-1", "5-1", true)
			b.inbox(2, "b", "5-2")
		}, nil},
		{"begins before what it asked for, for Redis has lost that", func(b *book) {
			b.given("a", "5-1")
			b.given("b", "5-2")
			b.p.Lost(b.tick())
			b.startAt("5-2", "5-1", false)
		}, nil},
		{"sent to two, and stored for one", func(b *book) {
			b.with(func(s *ledger.Send) { s.To = append(s.To, "bob") }, func() { b.given("a", "5-1") })
		}, []Rule{Loss}},
		{"sent to two", func(b *book) {
			b.with(func(s *ledger.Send) {
				s.To = append(s.To, "bob")
				s.Pos["bob"] = "6-1"
			}, func() { b.given("a", "5-1") })
			b.got(b.bob, 1, "inbox", "a", "6-1")
		}, nil},
		{"left for no reason", func(b *book) { b.left(1, "group:room") }, []Rule{Unfollowed}},
	})
}

// comparison is what happened and what is to be reported of it.
type comparison struct {
	name string
	run  func(*book)
	want []Rule // as often as each is to be reported
}

func run(t *testing.T, all []comparison) {
	t.Helper()
	for _, tt := range all {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBook()
			tt.run(b)
			found := Compare(&b.p, []*ledger.Client{b.alice, b.bob})
			var got []Rule
			for _, v := range found {
				got = append(got, v.Rule)
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(tt.want))
			if !slices.Equal(got, want) {
				t.Errorf("reported %v, want %v:\n%s", got, want, lines(found))
			}
		})
	}
}

func lines(all []Violation) (out string) {
	for _, v := range all {
		out += fmt.Sprintln(v)
	}
	return out
}
