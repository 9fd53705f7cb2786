package hub

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/imtier/imtier/pkg/protocol"
)

// The heart of fan-out: while it is under way in slices, members come and go at any point. Whoever was a member when
// an item's turn began and still is when it ends has been given it once; nobody was given anything twice; whoever came
// later was not given it.
func TestMembersComeAndGoDuringFanOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topic := &topic{next: -1}
		var (
			members []*follow
			given   = map[*follow]int{} // of the item under way
			present = map[*follow]bool{}
		)
		begin := func() {
			topic.queue = []*item{{}}
			topic.begin()
			clear(given)
			clear(present)
			for _, f := range members {
				present[f] = true
			}
		}
		finish := func() {
			for _, f := range members {
				if want := map[bool]int{true: 1}[present[f]]; given[f] != want {
					t.Fatalf("a member was given the item %d times, want %d", given[f], want)
				}
			}
			topic.queue = nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(*rapid.T) {
				f := &follow{t: topic}
				topic.add(f)
				members = append(members, f)
			},
			"remove": func(t *rapid.T) {
				if len(members) == 0 {
					t.Skip("nobody")
				}
				i := rapid.IntRange(0, len(members)-1).Draw(t, "who")
				topic.remove(members[i])
				members = slices.Delete(members, i, i+1)
			},
			"begin": func(t *rapid.T) {
				if len(topic.queue) > 0 {
					t.Skip("under way")
				}
				begin()
			},
			"slice": func(t *rapid.T) {
				if len(topic.queue) == 0 {
					t.Skip("nothing to do")
				}
				for budget := rapid.IntRange(1, 4).Draw(t, "budget"); topic.next >= 0 && budget > 0; topic.next-- {
					f := topic.members[topic.next]
					if given[f]++; given[f] > 1 || !present[f] {
						t.Fatalf("given %d times, present %v", given[f], present[f])
					}
					budget--
				}
				if topic.next < 0 {
					finish()
				}
			},
			"": func(t *rapid.T) {
				if len(topic.members) != len(members) {
					t.Fatalf("%d members, want %d", len(topic.members), len(members))
				}
				for i, f := range topic.members {
					if int(f.slot) != i {
						t.Fatalf("member %d says it is in slot %d", i, f.slot)
					}
				}
				for _, f := range members {
					if topic.members[f.slot] != f {
						t.Fatal("a member is lost")
					}
				}
			},
		})
	})
}

func TestContinues(t *testing.T) {
	tests := []struct {
		name  string
		tail  [2]uint64
		pos   [2]uint64
		fence uint64
		want  bool
	}{
		{"next", [2]uint64{5, 3}, [2]uint64{5, 4}, 5, true},
		{"one missing", [2]uint64{5, 3}, [2]uint64{5, 5}, 5, false},
		{"first of an empty stream", [2]uint64{5, 0}, [2]uint64{7, 1}, 5, true},
		{"first of an empty stream, at once", [2]uint64{5, 0}, [2]uint64{5, 1}, 5, true},
		{"second of an empty stream", [2]uint64{5, 0}, [2]uint64{7, 2}, 5, false},
		{"first of an empty stream, in a new life", [2]uint64{5, 0}, [2]uint64{7, 1}, 6, false},
		{"expired and begun anew", [2]uint64{5, 3}, [2]uint64{9, 1}, 5, true},
		{"a new life", [2]uint64{5, 3}, [2]uint64{9, 1}, 6, false},
		{"a new epoch, not its first", [2]uint64{5, 3}, [2]uint64{9, 2}, 5, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			topic := &topic{tail: at(tt.tail[0], tt.tail[1])}
			if got := topic.continues(at(tt.pos[0], tt.pos[1]), tt.fence); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Who looks for channels that nobody needs any more goes by this.
func TestForgottenStreamsAreCounted(t *testing.T) {
	h := New(Options{})
	st := protocol.InboxOf("alice")
	h.Hold(st)
	h.Hold(st)
	h.Release(st)
	if n := h.Forgotten(); n != 0 {
		t.Errorf("%d streams are forgotten while one is held", n)
	}
	h.Release(st)
	if n := h.Forgotten(); n != 1 {
		t.Errorf("%d streams are forgotten, want 1", n)
	}
}
