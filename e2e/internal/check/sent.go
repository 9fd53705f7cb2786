package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/pkg/protocol"
)

// message is what the publishers know of one message, over all attempts.
type message struct {
	ledger.Send                                // the first attempt
	ok          bool                           // an attempt succeeded
	open        bool                           // an attempt ended otherwise: it may have taken place
	end         time.Time                      // of the last attempt
	pos         map[string][]protocol.Position // by address, of the attempts that succeeded; more than one is suspicious
}

// sent is the publishers' side of a comparison.
type sent struct {
	byKey   map[string]*message
	order   []*message
	losses  []ledger.Span // at any moment of which Redis may have lost data
	alarms  []ledger.Span // in which something happened that may have alarmed clients
	calms   []time.Time   // when everything that was acknowledged was stored
	changes []ledger.Change
	members map[membership][]stretch
	places  map[place]string     // which message has a position
	written map[string][]writing // by stream: the positions that are known, and when they were given out
	out     *[]Violation
}

// place is one position of one stream, with the stream's name as all clients see it.
type place struct {
	stream string
	pos    protocol.Position
}

func readSent(p *ledger.Publisher, out *[]Violation) *sent {
	s := &sent{byKey: make(map[string]*message), losses: p.Losses(), calms: p.Calms(), places: make(map[place]string), out: out}
	s.alarms, s.written = p.Alarms(), make(map[string][]writing)
	s.changes = p.Changes()
	s.members = readMembers(s.changes, s.losses)
	for _, a := range p.Sends() {
		m := s.byKey[a.Key]
		if m == nil {
			m = &message{Send: a, pos: make(map[string][]protocol.Position)}
			s.byKey[a.Key] = m
			s.order = append(s.order, m)
		}
		s.attempt(m, a)
	}
	s.awaited()
	s.date()
	return s
}

// attempt adds one attempt to what is known of its message.
func (s *sent) attempt(m *message, a ledger.Send) {
	since := m.end
	m.end = a.Returned
	if a.Outcome != ledger.OK {
		m.open = true
		return
	}
	if m.ok && !a.Repeated && !s.lost(m.Called, a.Returned) {
		s.report(Duplicate, m, "", "the same id was sent with success before, and the answer does not say so")
	}
	m.ok = true
	if m.Kind == ledger.Direct {
		for _, to := range m.To {
			if _, ok := a.Pos[to]; !ok {
				s.report(Loss, m, to, "the send succeeded, and the answer has no position for it")
			}
		}
	}
	for addr, text := range a.Pos {
		pos, err := protocol.ParsePosition(text)
		if err != nil {
			s.report(Fork, m, addr, "a send succeeded with position %q", text)
			continue
		}
		s.claim(place{global(m.Kind, addr), pos}, m.Key, "")
		s.write(m, a, addr, pos)
		if slices.Contains(m.pos[addr], pos) {
			continue
		}
		if len(m.pos[addr]) > 0 && !s.lost(since, a.Returned) {
			s.report(Duplicate, m, addr, "the same id was stored at %v and at %v", m.pos[addr][0], pos)
		}
		m.pos[addr] = append(m.pos[addr], pos)
	}
}

// lost tells whether Redis may have lost data between two moments; a zero end means up to the end.
func (s *sent) lost(from, to time.Time) bool {
	return slices.ContainsFunc(s.losses, func(l ledger.Span) bool { return l.To.After(from) && (to.IsZero() || l.From.Before(to)) })
}

// claim notes that a message has a position, which no other message may have.
func (s *sent) claim(at place, key, client string) {
	if other, ok := s.places[at]; ok && other != key {
		*s.out = append(*s.out, Violation{Fork, client, at.stream, key, fmt.Sprintf("position %v is also that of %q", at.pos, other)})
		return
	}
	s.places[at] = key
}

// awaited checks that of two sends, the second of which was called after the first had succeeded, the first has the
// smaller position.
func (s *sent) awaited() {
	type track struct{ sender, stream string }
	last := make(map[track]*message)
	bySeq := slices.Clone(s.order)
	slices.SortStableFunc(bySeq, func(a, b *message) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, m := range bySeq {
		for addr, pos := range m.pos {
			t := track{m.Sender, global(m.Kind, addr)}
			if prev := last[t]; prev != nil && !latest(prev.pos[addr]).Less(latest(pos)) {
				s.report(Reorder, m, addr, "%v, although %q at %v was awaited before", pos, prev.Key, prev.pos[addr])
			}
			last[t] = m
		}
	}
}

// latest is the largest position.
func latest(all []protocol.Position) (top protocol.Position) {
	for _, p := range all {
		if top.Less(p) {
			top = p
		}
	}
	return top
}

func (s *sent) report(r Rule, m *message, addr, format string, args ...any) {
	*s.out = append(*s.out, Violation{r, "", global(m.Kind, addr), m.Key, fmt.Sprintf(format, args...)})
}

// global is a stream's name that does not depend on who looks.
func global(k ledger.Kind, addr string) string {
	switch k {
	case ledger.Direct:
		return "inbox of " + addr
	case ledger.Group:
		return "group:" + addr
	default:
		return "all"
	}
}

// globalOf is the same for a stream as a client names it.
func globalOf(client, stream string) string {
	if stream == "inbox" {
		return "inbox of " + client
	}
	return stream
}
