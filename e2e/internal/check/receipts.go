package check

import (
	"slices"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/pkg/protocol"
)

// The states that receipts tell. None expires in a rig.
const (
	delivered = "delivered"
	read      = "read"
)

// told is one state of one message of one receiver.
type told struct{ key, of, state string }

// receipt looks at one receipt by itself.
func (v *view) receipt(i int, e ledger.Entry, pos protocol.Position, last map[string]protocol.Position) {
	if e.Stream != "inbox" || !last[e.Stream].Less(pos) {
		v.report(Reorder, e, "the receipt %s of %s at %v came after %v", e.State, e.Of, pos, last[e.Stream])
	}
	last[e.Stream] = pos
	v.sent.claim(place{globalOf(v.id, e.Stream), pos}, "receipt "+e.State+" of "+e.ID+" from "+e.Of, v.id)
	v.point(e, point{index: i, pos: pos, message: true})

	e.Key = e.ID // ids of messages with receipts are their keys
	m := v.sent.byKey[e.Key]
	switch {
	case m == nil || m.Receipt == "" || m.From != v.id || !slices.Contains(m.To, e.Of):
		v.report(Stray, e, "a receipt %s of %s that nobody asked for", e.State, e.Of)
		return
	case e.State != delivered && e.State != read, e.State == read && m.Receipt != read:
		v.report(Receipt, e, "%s has %s it, asked for was %s", e.Of, e.State, m.Receipt)
	}
	t := told{e.Key, e.Of, e.State}
	for _, before := range v.told[t] {
		// The same position in a later connection is a repetition, as of any message.
		if before.pos != pos && !v.toldBetween(e.Stream, before.index, i) {
			v.report(Duplicate, e, "the receipt %s of %s came at %v and at %v", e.State, e.Of, before.pos, pos)
		}
	}
	v.told[t] = append(v.told[t], sighting{conn: e.Conn, index: i, stream: e.Stream, pos: pos, at: e.At})
}

// receipts compares what senders were told with what receivers did.
func receipts(s *sent, views map[string]*view) {
	for _, m := range s.order {
		if m.Receipt == "" || views[m.From] == nil {
			continue
		}
		for _, to := range m.To {
			if r := views[to]; r != nil {
				views[m.From].receiptsOf(m, r)
			}
		}
	}
}

// receiptsOf checks that nothing was told before it happened, and that what happened was told.
func (v *view) receiptsOf(m *message, r *view) {
	got, has := first(r.seen[m.Key])
	was, hasRead := r.reads[m.Key]
	for state, at := range map[string]time.Time{delivered: got, read: was} {
		happened := state == delivered && has || state == read && hasRead
		for _, t := range v.told[told{m.Key, r.id, state}] {
			if !happened || t.at.Before(at) {
				v.wrong(m, "told to be %s by %s, and was not", state, r.id)
			}
		}
	}
	// What Redis lost, and what somebody was told may be missing, excuses silence.
	if !m.ok || !v.connected || !r.connected || !has || v.sent.lost(m.Called, time.Time{}) ||
		v.toldSince("inbox", m.Called) || r.toldSince("inbox", m.Called) {
		return
	}
	tells := func(state string) bool { return len(v.told[told{m.Key, r.id, state}]) > 0 }
	switch {
	case m.Receipt == read && hasRead && !tells(read):
		v.wrong(m, "not told that %s has read it", r.id)
	case !tells(delivered) && !tells(read):
		v.wrong(m, "not told that %s has it", r.id)
	}
}

func (v *view) wrong(m *message, format string, args ...any) {
	v.report(Receipt, ledger.Entry{Stream: "inbox", Key: m.Key}, format, args...)
}

func first(all []sighting) (time.Time, bool) {
	if len(all) == 0 {
		return time.Time{}, false
	}
	return all[0].at, true
}

// toldSince tells whether the client was told of a possible loss after a moment.
func (v *view) toldSince(stream string, at time.Time) bool {
	return slices.ContainsFunc(v.lines[stream], func(p point) bool { return p.told && p.at.After(at) })
}
