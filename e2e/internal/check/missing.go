package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/pkg/protocol"
)

// point is what matters of an entry to find out what a client misses in a stream.
type point struct {
	index   int // of the entry
	at      time.Time
	pos     protocol.Position // of the message, of the beginning, or where the gap begins
	to      protocol.Position // where the gap ends
	message bool
	begin   bool // the stream is followed from after pos
	start   bool // it is followed from now on, perhaps from an earlier position on
	end     bool // it is followed no more
	told    bool // something may be missing
}

func (v *view) point(e ledger.Entry, p point) {
	p.at = e.At
	v.lines[e.Stream] = append(v.lines[e.Stream], p)
}

// toldBetween tells whether the client was told of a possible loss between two entries.
func (v *view) toldBetween(stream string, from, to int) bool {
	for _, p := range v.lines[stream] {
		if p.told && p.index > from && p.index < to {
			return true
		}
	}
	return false
}

// complete checks that everything that was sent with success arrived, or that the client was told.
func (v *view) complete() {
	for _, m := range v.sent.order {
		if !m.ok || !v.addressed(m) || len(v.seen[m.Key]) > 0 {
			continue
		}
		for addr, all := range m.pos {
			if stream := v.streamOf(m, addr); stream != "" && v.entitled(m, addr) {
				v.missing(m, stream, latest(all))
			}
		}
	}
}

// entitled tells whether a message has to reach the client, if that follows its stream.
func (v *view) entitled(m *message, addr string) bool {
	return m.Kind != ledger.Group || slices.Contains(v.groups, addr) || v.was(true, addr, m.Called, m.until())
}

// streamOf is the client's name of the stream at an address of a message; empty if the client does not follow it.
func (v *view) streamOf(m *message, addr string) string {
	switch {
	case m.Kind == ledger.Direct && addr == v.id:
		return "inbox"
	case m.Kind == ledger.Direct:
		return ""
	case m.Kind == ledger.Group:
		return "group:" + addr
	}
	return "all"
}

// missing reports a message that did not arrive, unless it was not to be expected or the client was told in time.
func (v *view) missing(m *message, stream string, pos protocol.Position) {
	var (
		following bool              // at this point
		from      protocol.Position // since when
		told      bool              // since the last message before pos
	)
	for _, p := range v.lines[stream] {
		switch {
		case p.end:
			following = false
		case p.begin:
			following, from, told = !v.forgotten(m, p), p.pos, false
		case p.message && pos.Less(p.pos):
			if following && from.Less(pos) && !told {
				v.lost(SilentGap, m, stream, fmt.Sprintf("stored at %v, the next that came is %v", pos, p.pos))
			}
			return
		case p.message:
			told = false
		case p.told && (p.to.IsZero() || p.pos.Less(pos) && pos.Less(p.to)):
			told = true
		}
	}
	if v.connected && following && from.Less(pos) && !told {
		v.lost(Loss, m, stream, fmt.Sprintf("stored at %v, nothing came after it", pos))
	}
}

// forgotten tells whether Redis lost a message before the client began to follow its stream from then on: a stream that
// is empty once more begins below the positions that were given out before.
func (v *view) forgotten(m *message, begin point) bool {
	return v.sent.lost(m.end, begin.at)
}

func (v *view) lost(r Rule, m *message, stream, text string) {
	*v.out = append(*v.out, Violation{r, v.id, stream, m.Key, text + ", sent at " + m.Called.Format(clock)})
}
