package check

import (
	"fmt"
	"testing"

	"github.com/imtier/imtier/e2e/internal/ledger"
)

func (b *book) mayAlarm() { b.p.MayAlarm(b.tick(), b.tick()) }

// back is alice, who has got a message, goes, and is told at the start that her inbox does not go on where she stopped.
func (b *book) back(asked string) {
	b.close(b.alice, 1)
	b.open(b.alice, 2, asked, "inbox")
}

func (b *book) given(key, pos string) {
	b.send(key, pos)
	b.inbox(1, key, pos)
}

// inClub is alice, who is a member of the club and has got a message there.
func (b *book) inClub() {
	b.move(true, true)
	b.joined(1, club, "5-0")
	b.toClub("a", "5-1")
	b.club("a", "5-1")
}

// clubStart is what alice is told of the club when she comes back.
func (b *book) clubStart(way ledger.Way, asked, pos string) {
	b.alice.Add(ledger.Entry{At: b.tick(), Conn: 2, What: ledger.Started, Stream: club, Asked: asked, Pos: pos, Way: way})
}

func TestCompareAlarms(t *testing.T) {
	t.Parallel()
	run(t, []comparison{
		{"a gap after a loss", func(b *book) {
			b.given("a", "5-1")
			b.p.Lost(b.tick())
			b.gap(1, "inbox", "5-1", "9-1")
		}, nil},
		{"a gap after something that looks like a loss", func(b *book) {
			b.given("a", "5-1")
			b.mayAlarm()
			b.gap(1, "inbox", "5-1", "9-1")
		}, nil},
		{"a gap while it goes on", func(b *book) {
			b.given("a", "5-1")
			begin := b.tick()
			b.gap(1, "inbox", "5-1", "9-1")
			b.p.MayAlarm(begin, b.tick())
		}, nil},
		{"not recovered after a loss", func(b *book) {
			b.given("a", "5-1")
			b.p.Lost(b.tick())
			b.back("5-1")
		}, nil},
		{"not recovered, a second time", func(b *book) { // there was no message since
			b.given("a", "5-1")
			b.p.Lost(b.tick())
			b.back("5-1")
			b.close(b.alice, 2)
			b.open(b.alice, 3, "5-1", "inbox")
		}, nil},
		{"a position from before the loss", func(b *book) {
			b.given("a", "5-1")
			b.p.Lost(b.tick())
			b.gap(1, "inbox", "5-1", "9-1")
			b.given("b", "9-1")
			b.back("5-1")
		}, nil},
		{"what was behind a gap is no longer kept", func(b *book) {
			b.given("a", "5-1")
			for i := range kept {
				b.send(fmt.Sprint("m", i), fmt.Sprint("5-", i+3))
			}
			b.gap(1, "inbox", "5-1", "5-3")
			for i := range kept {
				b.inbox(1, fmt.Sprint("m", i), fmt.Sprint("5-", i+3))
			}
		}, nil},
		{"left, and was not given everything", func(b *book) {
			b.inClub()
			b.toClub("b", "5-2")
			b.move(false, true)
			b.gap(1, club, "5-1", "5-3")
			b.left(1, club)
		}, nil},
		{"leaving failed, and perhaps did not", func(b *book) {
			b.inClub()
			b.move(false, false)
			b.gap(1, club, "5-1", "5-3")
		}, nil},
		{"left and came back while away", func(b *book) {
			b.inClub()
			b.close(b.alice, 1)
			b.move(false, true)
			b.toClub("b", "5-2")
			b.move(true, true)
			b.open(b.alice, 2, "0-0")
			b.clubStart(ledger.ByPositions, "5-1", "5-2")
		}, nil},
		{"left and came back while away, and says nothing", func(b *book) {
			b.inClub()
			b.p.Calm(b.tick())
			b.move(false, true)
			b.toClub("b", "5-2")
			b.move(true, true)
			b.silent(ledger.ByCursor, "0-0")
			b.clubStart(ledger.ByCursor, "", "5-2")
		}, nil},

		{"a gap for nothing", func(b *book) {
			b.given("a", "5-1")
			b.gap(1, "inbox", "5-1", "5-3")
		}, []Rule{FalseAlarm}},
		{"not recovered for nothing", func(b *book) {
			b.given("a", "5-1")
			b.back("5-1")
		}, []Rule{FalseAlarm}},
		{"moved to the end for nothing", func(b *book) {
			b.given("a", "5-1")
			b.close(b.alice, 1)
			b.send("b", "5-2")
			b.alice.Add(ledger.Entry{At: b.tick(), Conn: 2, What: ledger.Opened})
			b.alice.Add(ledger.Entry{At: b.tick(), Conn: 2, What: ledger.Started, Stream: "inbox", Asked: "5-1", Pos: "5-2"})
		}, []Rule{FalseAlarm}},
		{"the loss was before the message", func(b *book) {
			b.p.Lost(b.tick())
			b.given("a", "5-1")
			b.gap(1, "inbox", "5-1", "5-3")
		}, []Rule{FalseAlarm}},
		{"the loss comes later", func(b *book) {
			b.given("a", "5-1")
			b.gap(1, "inbox", "5-1", "5-3")
			b.p.Lost(b.tick())
		}, []Rule{FalseAlarm}},
		{"the loss was before a message of which only a smaller position is known", func(b *book) {
			b.p.Lost(b.tick())
			b.given("a", "5-1")
			b.gap(1, "inbox", "5-4", "5-6")
		}, []Rule{FalseAlarm}},
		{"what was behind a gap is kept", func(b *book) {
			b.given("a", "5-1")
			for i := range kept - 1 {
				b.send(fmt.Sprint("m", i), fmt.Sprint("5-", i+3))
			}
			b.gap(1, "inbox", "5-1", "5-3")
			for i := range kept - 1 {
				b.inbox(1, fmt.Sprint("m", i), fmt.Sprint("5-", i+3))
			}
		}, []Rule{FalseAlarm}},
		{"left before the message", func(b *book) {
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.move(false, true)
			b.left(1, club)
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.toClub("a", "5-1")
			b.club("a", "5-1")
			b.gap(1, club, "5-1", "5-3")
		}, []Rule{FalseAlarm}},
		{"left another group", func(b *book) {
			b.inClub()
			b.move(false, true)
			b.left(1, club)
			b.sendTo(ledger.Group, "room", "", "r", "7-1")
			b.got(b.alice, 1, "group:room", "r", "7-1")
			b.gap(1, "group:room", "7-1", "7-3")
		}, []Rule{FalseAlarm}},
		{"left before it was calm", func(b *book) {
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.move(false, true)
			b.left(1, club)
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.toClub("a", "5-1")
			b.club("a", "5-1")
			b.p.Calm(b.tick())
			b.silent(ledger.ByCursor, "0-0")
			b.clubStart(ledger.ByCursor, "", "5-1")
		}, []Rule{FalseAlarm}},
	})
}
