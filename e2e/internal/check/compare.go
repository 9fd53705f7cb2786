package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/pkg/protocol"
)

// Compare returns every violation that the ledgers of a run show. It is to be called when all that was under way has
// arrived.
func Compare(p *ledger.Publisher, clients []*ledger.Client) []Violation {
	var out []Violation
	s := readSent(p, &out)
	views := make(map[string]*view, len(clients))
	for _, c := range clients {
		v := &view{
			sent: s, id: c.ID, groups: c.Groups, entries: c.Entries(), connected: c.Connected(),
			seen: make(map[string][]sighting), lines: make(map[string][]point), told: make(map[told][]sighting),
			reads: make(map[string]time.Time), lefts: make(map[string]int), out: &out,
		}
		v.walk()
		v.complete()
		v.unfollowed()
		views[c.ID] = v
	}
	receipts(s, views)
	return out
}

// view is one client's side of a comparison.
type view struct {
	sent      *sent
	id        string
	groups    []string
	entries   []ledger.Entry
	connected bool // in the end

	seen  map[string][]sighting // by the message's key
	lines map[string][]point    // by stream: what is to be known to find out what is missing
	told  map[told][]sighting   // receipts
	reads map[string]time.Time  // by the message's key: when the client told that it has read it
	lefts map[string]int        // by stream: how often the client was told that it has left
	out   *[]Violation
}

// sighting is one arrival of a message.
type sighting struct {
	conn, index int
	stream      string
	pos         protocol.Position
	at          time.Time
}

// walk looks at each entry by itself and in its connection.
func (v *view) walk() {
	last := make(map[string]protocol.Position) // by stream, in this connection
	seqs := make(map[string]map[string]*message)
	for i, e := range v.entries {
		pos, err := position(e.Pos)
		if err != nil {
			v.report(Fork, e, "position %q", e.Pos)
			continue
		}
		switch e.What {
		case ledger.Opened:
			clear(last)
			clear(seqs)
		case ledger.Started:
			last[e.Stream] = pos
			v.started(i, e, pos)
		case ledger.Joined:
			last[e.Stream] = pos
			delete(seqs, e.Stream)
			v.point(e, point{index: i, pos: pos, begin: true, start: true})
		case ledger.Left:
			v.left(i, e)
		case ledger.Gap:
			to, err := position(e.To)
			if err != nil {
				v.report(Fork, e, "position %q", e.To)
			}
			v.alarmed(e, pos, to)
			v.point(e, point{index: i, pos: pos, to: to, told: true})
		case ledger.Message:
			v.message(i, e, pos, last, seqs)
		case ledger.Receipt:
			v.receipt(i, e, pos, last)
		case ledger.Read:
			v.reads[e.Key] = e.At
		}
	}
}

func (v *view) message(i int, e ledger.Entry, pos protocol.Position, last map[string]protocol.Position, seqs map[string]map[string]*message) {
	m := v.sent.byKey[e.Key]
	switch {
	case m == nil:
		v.report(Stray, e, "nobody sent it")
		return
	case !v.addressed(m):
		v.report(Stray, e, "it was sent to %s %q except %q", m.Kind, m.To, m.Except)
		return
	case !v.belongs(m, e.Stream):
		v.report(Stray, e, "it was sent to %s %q", m.Kind, m.To)
		return
	}
	if e.Pos == "" {
		return // ephemeral: no order, no promise
	}
	if !last[e.Stream].Less(pos) {
		v.report(Reorder, e, "%v came after %v", pos, last[e.Stream])
	}
	last[e.Stream] = pos
	v.sent.claim(place{globalOf(v.id, e.Stream), pos}, e.Key, v.id)
	v.awaited(e, m, seqs)
	v.once(e, m, sighting{e.Conn, i, e.Stream, pos, e.At})
	v.point(e, point{index: i, pos: pos, message: true})
}

// awaited checks that sends of one sender to one stream, each awaited, arrive in their order.
func (v *view) awaited(e ledger.Entry, m *message, seqs map[string]map[string]*message) {
	if !m.ok || m.open {
		return // an attempt that was given up may take place later than the next send
	}
	senders := seqs[e.Stream]
	if senders == nil {
		senders = make(map[string]*message)
		seqs[e.Stream] = senders
	}
	if prev := senders[m.Sender]; prev != nil && prev.Seq > m.Seq {
		v.report(Reorder, e, "%s's message %d came after its message %d", m.Sender, m.Seq, prev.Seq)
		return
	}
	senders[m.Sender] = m
}

// once checks that a message does not come twice. The same position in a later connection is a repetition, which clients
// have to expect, as they have when a Redis that lost data begins a membership anew; another position is none, unless the
// client was told that Redis lost something.
func (v *view) once(e ledger.Entry, m *message, s sighting) {
	for _, before := range v.seen[e.Key] {
		repeated := before.pos == s.pos && (before.conn != s.conn || v.begunAgain(e, before.index))
		if repeated || before.pos != s.pos && v.toldBetween(e.Stream, before.index, s.index) {
			continue
		}
		rule := Duplicate
		if !m.ok {
			rule = Ghost
		}
		v.report(rule, e, "it came at %v in connection %d and at %v in connection %d", before.pos, before.conn, s.pos, s.conn)
		break
	}
	v.seen[e.Key] = append(v.seen[e.Key], s)
}

// left notes that a stream is followed no more: somebody made the client leave, or Redis lost the membership. The client may
// hear of it when it is a member again.
func (v *view) left(i int, e ledger.Entry) {
	v.lefts[e.Stream]++
	m := membership{v.id, strings.TrimPrefix(e.Stream, "group:")}
	if leaves := v.sent.leaves(m, e.At); v.lefts[e.Stream] > leaves {
		if !v.sent.lost(v.begun(e.Stream, i), e.At) {
			v.report(Unfollowed, e, "left, although Redis had lost nothing since it began to follow it")
		}
		v.lefts[e.Stream] = leaves // each is explained, or reported, once
	}
	v.point(e, point{index: i, end: true})
}

// addressed tells whether a message was meant for the client, or may have been: memberships change.
func (v *view) addressed(m *message) bool {
	if m.Except == v.id {
		return false
	}
	switch m.Kind {
	case ledger.Direct:
		return slices.Contains(m.To, v.id)
	case ledger.Group:
		return slices.ContainsFunc(m.To, func(g string) bool {
			return slices.Contains(v.groups, g) || !v.was(false, g, m.Called, m.until())
		})
	default:
		return true
	}
}

// belongs tells whether a stream is one that the message was sent to.
func (v *view) belongs(m *message, stream string) bool {
	switch m.Kind {
	case ledger.Direct:
		return stream == "inbox"
	case ledger.Group:
		return slices.ContainsFunc(m.To, func(g string) bool { return stream == "group:"+g })
	default:
		return stream == "all"
	}
}

func (v *view) report(r Rule, e ledger.Entry, format string, args ...any) {
	text := fmt.Sprintf(format, args...) + fmt.Sprintf(" (connection %d to %s)", e.Conn, e.Stream)
	*v.out = append(*v.out, Violation{r, v.id, e.Stream, e.Key, text})
}

// position reads a position; an empty one is zero.
func position(text string) (protocol.Position, error) {
	if text == "" {
		return protocol.Position{}, nil
	}
	return protocol.ParsePosition(text)
}
