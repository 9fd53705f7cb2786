package check

import (
	"cmp"
	"slices"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/pkg/protocol"
)

// kept is how many messages of a stream are kept at least, unless set otherwise: older ones may be missing.
const kept = 1000

// writing says that a position was given out, not before a moment; nor were those that are larger.
type writing struct {
	pos protocol.Position
	at  time.Time
}

// write notes the position that an attempt was answered with. Of a repetition any attempt may be the one that was stored.
func (s *sent) write(m *message, a ledger.Send, addr string, pos protocol.Position) {
	at := a.Called
	if a.Repeated {
		at = m.Called
	}
	stream := global(m.Kind, addr)
	s.written[stream] = append(s.written[stream], writing{pos, at})
}

// date puts what is known of positions in order: each was given out no earlier than those below it.
func (s *sent) date() {
	for _, all := range s.written {
		slices.SortFunc(all, func(a, b writing) int { return compare(a.pos, b.pos) })
		for i := range all[1:] {
			if all[i+1].at.Before(all[i].at) {
				all[i+1].at = all[i].at
			}
		}
	}
}

func compare(p, q protocol.Position) int {
	return cmp.Or(cmp.Compare(p.Epoch, q.Epoch), cmp.Compare(p.Seq, q.Seq))
}

// givenOut is a moment before which a position was not given out. An epoch is the time at which it began, in milliseconds.
func (s *sent) givenOut(stream string, pos protocol.Position) time.Time {
	at := time.UnixMilli(int64(pos.Epoch))
	all := s.written[stream]
	n, found := slices.BinarySearchFunc(all, pos, func(w writing, p protocol.Position) int { return compare(w.pos, p) })
	if found {
		n++
	}
	if n > 0 && all[n-1].at.After(at) {
		at = all[n-1].at
	}
	return at
}

// after is how many messages from a position on are known to have been sent before a moment.
func (s *sent) after(stream string, pos protocol.Position, at time.Time) (n int) {
	for _, w := range s.written[stream] {
		if !w.pos.Less(pos) && w.at.Before(at) {
			n++
		}
	}
	return n
}

// alarmed reports that a client was told that something may be missing after a position, unless something that explains it
// has happened since that was given out. to is the first position that it has again; zero: the next one.
func (v *view) alarmed(e ledger.Entry, from, to protocol.Position) {
	stream := globalOf(v.id, e.Stream)
	since := v.sent.givenOut(stream, from)
	if e.What == ledger.Started {
		since = v.startedAfter(e, since)
	}
	if to.IsZero() {
		to = from
		to.Seq++
	}
	may := slices.ContainsFunc(v.sent.alarms, func(a ledger.Span) bool { return a.To.After(since) && a.From.Before(e.At) })
	switch {
	case may, v.sent.lost(since, e.At), v.leftSince(e, since), v.sent.after(stream, to, e.At) >= kept:
	case e.What == ledger.Started:
		v.report(FalseAlarm, e, "told that it cannot go on at %v (it asked for %q) since %s, and nothing has happened",
			from, e.Asked, since.Format(clock))
	default:
		v.report(FalseAlarm, e, "told of a gap from %v to %s, and nothing has happened since %s", from, e.To, since.Format(clock))
	}
}

// clock is how times are printed.
const clock = "15:04:05.000"

// startedAfter is since when something may have happened that is told at a start. The server moves a client to where a
// membership began again, or where a log ends; so it is the place where the client was that counts. When it does not say where
// it was, the server knows it from acknowledgements, all of which have come only when it was calm.
func (v *view) startedAfter(e ledger.Entry, since time.Time) time.Time {
	switch asked, err := position(e.Asked); {
	case err != nil:
	case e.Asked != "":
		if was := v.sent.givenOut(globalOf(v.id, e.Stream), asked); was.Before(since) {
			return was
		}
	case e.Stream != "inbox" && e.Stream != "all":
		var calm time.Time
		for _, at := range v.sent.calms {
			if at.Before(e.At) && at.After(calm) {
				calm = at
			}
		}
		if calm.Before(since) {
			return calm
		}
	}
	return since
}

// over is when a change had taken place at the latest.
func over(c ledger.Change) time.Time {
	if c.OK {
		return c.Returned
	}
	return c.Returned.Add(lateness)
}

// leftSince tells whether somebody made the client leave the group around then: what was sent before, and could not be given in
// time, is told as a gap, and so is what a member missed that became one again.
func (v *view) leftSince(e ledger.Entry, since time.Time) bool {
	return slices.ContainsFunc(v.sent.changes, func(c ledger.Change) bool {
		return !c.Join && c.Client == v.id && "group:"+c.Group == e.Stream && c.Called.Before(e.At) && over(c).After(since)
	})
}
