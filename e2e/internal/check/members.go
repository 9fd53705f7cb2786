package check

import (
	"slices"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
)

// lateness is how long after its end an attempt that did not succeed may take place all the same.
const lateness = 500 * time.Millisecond

// stretch is a time in which it is certain whether a client was a member of a group.
type stretch struct {
	from, to time.Time // zero: open
	member   bool
}

// membership is a client's in a group.
type membership struct{ client, group string }

// readMembers finds out when who was certainly a member of what, and certainly not: not while a change is under way, not from
// a loss of Redis' data until the next change.
func readMembers(changes []ledger.Change, losses []ledger.Span) map[membership][]stretch {
	out := make(map[membership][]stretch)
	failed := make(map[membership]bool) // the last attempt
	for _, c := range changes {
		m := membership{c.Client, c.Group}
		all := out[m]
		if all == nil {
			all = []stretch{{}} // nobody is a member before the first change
		}
		if last := &all[len(all)-1]; last.to.IsZero() {
			last.to = c.Called
		}
		if c.OK {
			s := stretch{from: c.Returned, member: c.Join}
			if failed[m] {
				s.from = s.from.Add(lateness)
			}
			all = append(all, s)
		}
		failed[m] = !c.OK
		out[m] = all
	}
	for _, all := range out {
		for i := range all {
			all[i].cut(losses)
		}
	}
	return out
}

// cut ends a stretch at the first loss in it.
func (s *stretch) cut(losses []ledger.Span) {
	for _, l := range losses {
		if !l.To.After(s.from) {
			continue
		}
		at := l.From
		if at.Before(s.from) {
			at = s.from
		}
		if s.to.IsZero() || at.Before(s.to) {
			s.to = at
		}
	}
}

// covers tells whether the stretch holds all of a time; a zero end means for ever.
func (s *stretch) covers(from, to time.Time) bool {
	return !from.Before(s.from) && (s.to.IsZero() || !to.IsZero() && !to.After(s.to))
}

// was tells whether it is certain that the client was a member during all of a time, or certain that it was none.
func (v *view) was(member bool, group string, from, to time.Time) bool {
	all, ok := v.sent.members[membership{v.id, group}]
	if !ok {
		return !member // it was never let in
	}
	for i := range all {
		if all[i].member == member && all[i].covers(from, to) {
			return true
		}
	}
	return false
}

// leaves is how many attempts to make a client leave a group had begun at a moment.
func (s *sent) leaves(m membership, at time.Time) (n int) {
	for _, c := range s.changes {
		if !c.Join && c.Client == m.client && c.Group == m.group && c.Called.Before(at) {
			n++
		}
	}
	return n
}

// begunAgain tells whether a Redis that lost data made the client follow a stream anew since an entry.
func (v *view) begunAgain(e ledger.Entry, since int) bool {
	return v.sent.lost(v.begun(e.Stream, since), e.At) && slices.ContainsFunc(v.lines[e.Stream], func(p point) bool {
		return p.begin && p.index > since
	})
}

// hearsay is how much older than when a client hears of it what a server knows may be, on a busy machine.
const hearsay = time.Second

// begun is when the client began to follow a stream for the last time before an entry, as the server saw it; zero if it did not.
func (v *view) begun(stream string, before int) (at time.Time) {
	for _, p := range v.lines[stream] {
		if p.index < before && p.start {
			at = p.at.Add(-hearsay)
		}
	}
	return at
}

// until is when the last attempt to send a message was over; zero if one may take place at any time. Whatever is tried again
// has an id: when one attempt succeeded no other has an effect.
func (m *message) until() time.Time {
	if !m.ok {
		return time.Time{}
	}
	return m.end
}

// unfollowed reports groups that a connected client does not follow in the end although it is a member.
func (v *view) unfollowed() {
	if !v.connected || len(v.entries) == 0 {
		return
	}
	last := v.entries[len(v.entries)-1].At
	for m, all := range v.sent.members {
		if m.client != v.id || !all[len(all)-1].member || !all[len(all)-1].covers(last, time.Time{}) {
			continue
		}
		if stream := "group:" + m.group; !v.follows(stream) {
			v.report(Unfollowed, ledger.Entry{Stream: stream}, "a member, and does not follow it")
		}
	}
}

// follows tells whether a client follows a stream after the last entry.
func (v *view) follows(stream string) bool {
	following := false
	for _, p := range v.lines[stream] {
		following = !p.end
	}
	return following
}
