package check

import (
	"fmt"
	"slices"
	"testing"

	"github.com/imtier/imtier/e2e/internal/ledger"
)

// journal builds the ledger of two groups of consumers.
type journal struct {
	all []ledger.Event
	seq int64
}

// happen gives an event to the groups named.
func (j *journal) happen(kind, client string, groups ...string) ledger.Event {
	j.seq++
	e := ledger.Event{Key: fmt.Sprint("0-", j.seq), Seq: j.seq, Type: kind, Client: client}
	for _, g := range groups {
		e.Group = g
		j.all = append(j.all, e)
	}
	return e
}

func (j *journal) both(kind, client string) ledger.Event { return j.happen(kind, client, "one", "two") }

// receipt tells both groups what became of message m.
func (j *journal) receipt(state string) {
	e := j.happen("receipt", "ann")
	e.Of, e.State = "m", state
	for _, g := range []string{"one", "two"} {
		e.Group = g
		j.all = append(j.all, e)
	}
}

func TestPresence(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		run    func(*journal)
		online []string // in the end, of ann and bob
		want   []Rule
	}{
		{"nothing happened", func(*journal) {}, nil, nil},
		{"one who was there went and came", func(j *journal) {
			j.both("offline", "eric")
			j.both("online", "eric")
		}, nil, nil},
		{"one who was there went", func(j *journal) { j.both("offline", "eric") }, nil, []Rule{Untrue, Untrue}},
		{"one who was there came", func(j *journal) { j.both("online", "eric") }, nil, []Rule{Alternation, Alternation}},
		{"came, went, came", func(j *journal) {
			j.both("online", "ann")
			j.both("online", "bob")
			j.both("offline", "ann")
			j.both("online", "ann")
		}, []string{"ann", "bob"}, nil},
		{"other events between", func(j *journal) {
			j.both("online", "ann")
			j.both("join", "ann")
			j.both("join", "ann")
			j.both("offline", "ann")
		}, nil, nil},
		{"delivered again", func(j *journal) {
			j.both("online", "ann")
			again := j.all[0]
			j.both("offline", "ann")
			j.all = append(j.all, again)
		}, nil, nil},
		{"delivered, then read", func(j *journal) {
			j.receipt("delivered")
			j.receipt("read")
		}, nil, nil},

		{"not delivered to one group", func(j *journal) {
			j.both("online", "ann")
			j.happen("join", "ann", "two")
		}, []string{"ann"}, []Rule{Loss}},
		{"offline dropped", func(j *journal) {
			j.both("online", "ann")
			j.both("online", "ann")
		}, []string{"ann"}, []Rule{Alternation, Alternation}},
		{"offline first", func(j *journal) { j.both("offline", "ann") }, nil, []Rule{Alternation, Alternation}},
		{"the same under another key", func(j *journal) {
			j.both("online", "ann")
			j.both("offline", "ann")
			j.both("offline", "ann")
		}, nil, []Rule{Alternation, Alternation}},
		{"another under the same key", func(j *journal) {
			e := j.happen("online", "ann", "one")
			e.Group, e.Client = "two", "bob"
			j.all = append(j.all, e)
		}, []string{"ann", "bob"}, []Rule{Fork, Untrue, Untrue}},
		{"never offline", func(j *journal) { j.both("online", "ann") }, nil, []Rule{Untrue, Untrue}},
		{"never online", func(*journal) {}, []string{"ann"}, []Rule{Untrue, Untrue}},
		{"out of order", func(j *journal) {
			j.both("online", "ann")
			j.both("offline", "ann")
			j.all[0], j.all[2] = j.all[2], j.all[0]
		}, nil, []Rule{Alternation, Reorder, Untrue}},
		{"a stranger", func(j *journal) { j.both("online", "eve") }, nil, []Rule{Stray, Stray}},
		{"delivered twice", func(j *journal) {
			j.receipt("delivered")
			j.receipt("delivered")
		}, nil, []Rule{Receipt, Receipt}},
		{"read, then delivered", func(j *journal) {
			j.receipt("read")
			j.receipt("delivered")
		}, nil, []Rule{Receipt, Receipt}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var j journal
			tt.run(&j)
			truth := map[string]bool{"ann": slices.Contains(tt.online, "ann"), "bob": slices.Contains(tt.online, "bob"), "eric": true}
			found := Presence(j.all, []string{"one", "two"}, map[string]bool{"eric": true}, truth)
			var got []Rule
			for _, v := range found {
				got = append(got, v.Rule)
			}
			slices.Sort(got)
			if want := slices.Sorted(slices.Values(tt.want)); !slices.Equal(got, want) {
				t.Errorf("reported %v, want %v:\n%s", got, want, lines(found))
			}
		})
	}
}
