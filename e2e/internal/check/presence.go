package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/imtier/imtier/e2e/internal/ledger"
)

// The types of events that are about presence, and receipts.
const (
	online  = "online"
	offline = "offline"
	receipt = "receipt"
)

// Presence returns what is wrong with the events of a run, during which Redis lost nothing and the consumers missed nothing.
// truth says of every client that there was whether it is online now, before who was online when the consumers began. Each
// group of consumers must have got every event, some perhaps more than once.
func Presence(events []ledger.Event, groups []string, before, truth map[string]bool) (out []Violation) {
	all := make(map[string]ledger.Event) // by key: what any group got
	for _, e := range events {
		if first, ok := all[e.Key]; ok && !same(first, e) {
			out = append(out, wrongEvent(Fork, e, "it came as %s of %q before", first.Type, first.Client))
		}
		all[e.Key] = e
	}
	for _, g := range groups {
		out = append(out, presenceOf(g, events, all, before, truth)...)
	}
	return out
}

// same tells whether two deliveries are of one event.
func same(a, b ledger.Event) bool {
	a.At, a.Group = b.At, b.Group
	return a == b
}

// presenceOf looks at what one group of consumers got.
func presenceOf(group string, events []ledger.Event, all map[string]ledger.Event, before, truth map[string]bool) (out []Violation) {
	seen := make(map[string]bool)
	histories := make(map[string][]ledger.Event)
	for _, e := range events {
		if e.Group != group || seen[e.Key] {
			continue
		}
		seen[e.Key] = true
		if _, ok := truth[e.Client]; !ok {
			out = append(out, wrongEvent(Stray, e, "there is no such client"))
			continue
		}
		histories[e.Client] = append(histories[e.Client], e)
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !seen[key] {
			e := all[key]
			out = append(out, wrongEvent(Loss, e, "consumers %q did not get it", group))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(truth)) {
		out = append(out, history(group, id, histories[id], before[id], truth[id])...)
	}
	return out
}

// history looks at the events of one client in the order in which one group got them.
func history(group, id string, events []ledger.Event, is, truth bool) (out []Violation) {
	last := int64(0)
	states := make(map[string]string) // of receipts, by message
	for _, e := range events {
		if e.Seq <= last {
			out = append(out, wrongEvent(Reorder, e, "number %d came after %d", e.Seq, last))
		}
		last = e.Seq
		switch e.Type {
		case online, offline:
			if is == (e.Type == online) {
				out = append(out, wrongEvent(Alternation, e, "it was %s already", e.Type))
			}
			is = e.Type == online
		case receipt:
			if before := states[e.Of]; before == e.State || before == read || before == "expired" {
				out = append(out, wrongEvent(Receipt, e, "%s came after %s", e.State, before))
			}
			states[e.Of] = e.State
		}
	}
	if is != truth {
		out = append(out, Violation{Untrue, id, "events for " + group, "", fmt.Sprintf("online is %v, the events say %v", truth, is)})
	}
	return out
}

func wrongEvent(r Rule, e ledger.Event, format string, args ...any) Violation {
	return Violation{r, e.Client, "events for " + e.Group, e.Key, e.Type + ": " + fmt.Sprintf(format, args...)}
}
