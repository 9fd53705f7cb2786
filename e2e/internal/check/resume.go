package check

import (
	"slices"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/pkg/protocol"
)

// started adds a stream of a start. A client that says nothing about where it stopped goes on where it had acknowledged to
// have come, or further back; beyond that it may begin only if the server could not know.
func (v *view) started(i int, e ledger.Entry, pos protocol.Position) {
	if !e.Recovered {
		v.alarmed(e, pos, protocol.Position{})
	} else if asked, err := position(e.Asked); err == nil && pos.Less(asked) {
		v.report(Duplicate, e, "it begins after %v, asked for was what comes after %v", pos, asked)
	}
	p := point{index: i, pos: pos, start: true, begin: e.Asked == "", told: !e.Recovered}
	if (e.Way == ledger.ByCursor || e.Way == ledger.ByNothing && e.Stream == "inbox") && v.knows(e, pos) {
		p.begin = false
	}
	v.point(e, p)
}

// knows tells whether the server must know where a client stopped in a stream, or begins before that anyway. One that has
// forgotten the client takes it for a new one, and has nothing to tell it of.
func (v *view) knows(e ledger.Entry, pos protocol.Position) bool {
	var since time.Time // when the client began to follow the stream
	var top protocol.Position
	following := false
	for _, p := range v.lines[e.Stream] {
		switch {
		case p.end:
			following = false
		case p.begin:
			following, since, top = true, p.at, p.pos
		}
		if top.Less(p.pos) {
			top = p.pos
		}
	}
	if !following || v.mayHaveLeft(e, since) {
		return false
	}
	stored := slices.ContainsFunc(v.sent.calms, func(at time.Time) bool {
		return at.After(since) && at.Before(e.At) && !v.sent.lost(at, e.At)
	})
	return stored || !v.sent.lost(since, e.At) && !top.Less(pos)
}

// mayHaveLeft tells whether somebody made the client leave a group after it had begun to follow its stream. Where it had come
// in the membership before is forgotten then, whether or not it heard of it.
func (v *view) mayHaveLeft(e ledger.Entry, since time.Time) bool {
	return slices.ContainsFunc(v.sent.changes, func(c ledger.Change) bool {
		return !c.Join && c.Client == v.id && "group:"+c.Group == e.Stream && c.Called.Before(e.At) && (!c.OK || c.Returned.After(since))
	})
}
