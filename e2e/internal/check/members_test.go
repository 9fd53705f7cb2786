package check

import (
	"testing"

	"github.com/imtier/imtier/e2e/internal/ledger"
)

// move is an attempt to make alice join or leave the club.
func (b *book) move(join, ok bool) {
	b.p.Changed(ledger.Change{Client: "alice", Group: "club", Join: join, Called: b.tick(), Returned: b.tick(), OK: ok})
}

// later lets so much time pass that what was before has no effect on what a server knows.
func (b *book) later() { b.now = b.now.Add(2 * hearsay) }

// toClub sends to the club, with success if there is a position.
func (b *book) toClub(key, pos string) { b.sendTo(ledger.Group, "club", "", key, pos) }

func (b *book) club(key, pos string) { b.got(b.alice, 1, "group:club", key, pos) }

const club = "group:club"

// awayFromClub is alice, who misses a message of the club while she is away, and begins behind it.
func (b *book) awayFromClub(left bool) {
	b.move(true, true)
	b.joined(1, club, "5-0")
	b.toClub("a", "5-1")
	b.club("a", "5-1")
	b.p.Calm(b.tick())
	b.toClub("b", "5-2")
	if left {
		b.move(false, true)
		b.move(true, true)
	}
	b.silent(ledger.ByCursor, "0-0")
	b.alice.Add(ledger.Entry{At: b.tick(), Conn: 2, What: ledger.Started, Stream: club, Pos: "5-2", Recovered: true, Way: ledger.ByCursor})
	b.toClub("c", "5-3")
	b.got(b.alice, 2, club, "c", "5-3")
}

func TestCompareMemberships(t *testing.T) {
	t.Parallel()
	run(t, []comparison{
		{"joined, was given, left", func(b *book) {
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.toClub("a", "5-1")
			b.club("a", "5-1")
			b.move(false, true)
			b.left(1, club)
			b.toClub("b", "5-2")
		}, nil},
		{"left a server that was being replaced, which forgot it", func(b *book) {
			b.move(true, true)
			b.joined(1, club, "5-0")
			begin := b.tick()
			b.move(false, true)
			b.toClub("a", "6-1")
			b.p.Losing(begin, b.tick())
			b.club("a", "6-1")
		}, nil},
		{"left when it had been replaced", func(b *book) {
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.p.Losing(b.tick(), b.tick())
			b.move(true, true)
			b.move(false, true)
			b.toClub("a", "6-1")
			b.club("a", "6-1")
		}, []Rule{Stray}},
		{"sent while it joined", func(b *book) {
			called := b.tick()
			b.toClub("a", "5-1")
			b.p.Changed(ledger.Change{Client: "alice", Group: "club", Join: true, Called: called, Returned: b.tick(), OK: true})
			b.joined(1, club, "5-0")
			b.club("a", "5-1")
		}, nil},
		{"sent while it joined, and did not come", func(b *book) {
			called := b.tick()
			b.toClub("a", "5-1")
			b.p.Changed(ledger.Change{Client: "alice", Group: "club", Join: true, Called: called, Returned: b.tick(), OK: true})
			b.joined(1, club, "5-0")
		}, nil},
		{"a failed attempt may take place", func(b *book) {
			b.move(true, false)
			b.joined(1, club, "5-0")
			b.toClub("a", "5-1")
			b.club("a", "5-1")
		}, nil},
		{"left late, a member again", func(b *book) {
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.move(false, true)
			b.move(true, true)
			b.left(1, club)
			b.joined(1, club, "5-0")
		}, nil},
		{"a loss ends what is certain", func(b *book) {
			b.move(true, true)
			b.p.Lost(b.tick())
			b.toClub("a", "5-1")
			b.joined(1, club, "5-0")
			b.toClub("b", "5-2")
			b.club("b", "5-2")
		}, nil},

		{"left and joined while away, and says nothing of where it stopped", func(b *book) { b.awayFromClub(true) }, nil},

		{"away, and says nothing of where it stopped", func(b *book) { b.awayFromClub(false) }, []Rule{SilentGap}},
		{"left after a loss", func(b *book) {
			b.inClub()
			b.p.Lost(b.tick())
			b.left(1, club)
		}, nil},
		{"left after a loss, and long after that because it was made to", func(b *book) {
			b.inClub()
			b.p.Lost(b.tick())
			b.left(1, club)
			b.later()
			b.move(true, true)
			b.joined(1, club, "5-1")
			b.later()
			b.move(false, true)
			b.left(1, club)
		}, nil},
		{"left for no reason, long after a loss", func(b *book) {
			b.p.Lost(b.tick())
			b.later()
			b.inClub()
			b.left(1, club)
			b.joined(1, club, "5-1")
		}, []Rule{Unfollowed}},
		{"given again after a loss", func(b *book) {
			b.inClub()
			b.p.Lost(b.tick())
			b.joined(1, club, "5-0")
			b.club("a", "5-1")
		}, nil},
		{"given again without a loss since", func(b *book) {
			b.p.Lost(b.tick())
			b.later()
			b.inClub()
			b.joined(1, club, "5-0")
			b.club("a", "5-1")
		}, []Rule{Duplicate}},
		{"never let in", func(b *book) {
			b.toClub("a", "5-1")
			b.club("a", "5-1")
		}, []Rule{Stray}},
		{"sent after it had left", func(b *book) {
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.move(false, true)
			b.toClub("a", "5-1")
			b.club("a", "5-1")
			b.left(1, club)
		}, []Rule{Stray}},
		{"sent between two memberships", func(b *book) {
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.move(false, true)
			b.toClub("a", "5-1")
			b.move(true, true)
			b.club("a", "5-1")
		}, []Rule{Stray}},
		{"joined and was not given", func(b *book) {
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.toClub("a", "5-1")
		}, []Rule{Loss}},
		{"joined and was given the next one", func(b *book) {
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.toClub("a", "5-1")
			b.toClub("b", "5-2")
			b.club("b", "5-2")
		}, []Rule{SilentGap}},
		{"joined and not told", func(b *book) {
			b.move(true, true)
			b.send("a", "5-1")
			b.inbox(1, "a", "5-1")
		}, []Rule{Unfollowed}},
		{"left although nobody said so", func(b *book) {
			b.move(true, true)
			b.joined(1, club, "5-0")
			b.left(1, club)
		}, []Rule{Unfollowed, Unfollowed}}, // when it happened, and in the end
	})
}

func TestCompareRepeatedSends(t *testing.T) {
	t.Parallel()
	run(t, []comparison{
		{"the answer says so", func(b *book) {
			b.send("a", "5-1")
			b.retry("a", "5-1")
			b.inbox(1, "a", "5-1")
		}, nil},
		{"the answer does not say so", func(b *book) {
			b.send("a", "5-1")
			b.retryAs("a", "5-1", false)
			b.inbox(1, "a", "5-1")
		}, []Rule{Duplicate}},
		{"Redis may have forgotten", func(b *book) {
			b.send("a", "5-1")
			b.p.Lost(b.tick())
			b.retryAs("a", "5-1", false)
			b.inbox(1, "a", "5-1")
		}, nil},
	})
}
