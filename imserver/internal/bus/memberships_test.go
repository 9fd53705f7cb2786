package bus

import (
	"slices"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

func at(seq uint64) protocol.Position { return protocol.Position{Epoch: 5, Seq: seq} }

func TestAnotherMembership(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    store.Membership
		pos  protocol.Position
		want bool
	}{
		{"nothing was said since it began", store.Membership{Pos: at(3), Synced: true}, at(3), false},
		{"it was given what was said", store.Membership{Pos: at(3), Synced: true}, at(7), false},
		{"it began after what was given", store.Membership{Pos: at(3), Synced: true}, at(2), true},
	} {
		if got := another(tt.m, tt.pos); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestDifferences(t *testing.T) {
	synced := func(group string, seq uint64) store.Membership {
		return store.Membership{Group: group, Pos: at(seq), Synced: true}
	}
	for _, tt := range []struct {
		name                  string
		follows               map[string]protocol.Position
		truth                 []store.Membership
		left, joined, renewed []string
	}{
		{"none at all", nil, nil, nil, nil, nil},
		{"all the same", map[string]protocol.Position{"a": at(4), "b": at(3)}, []store.Membership{synced("a", 3), synced("b", 3)}, nil, nil, nil},
		{"left unnoticed", map[string]protocol.Position{"a": at(4)}, nil, []string{"a"}, nil, nil},
		{"joined unnoticed", nil, []store.Membership{synced("a", 3)}, nil, []string{"a"}, nil},
		{"left and joined unnoticed", map[string]protocol.Position{"a": at(2)}, []store.Membership{synced("a", 3)}, nil, nil, []string{"a"}},
		{"being joined", nil, []store.Membership{{Group: "a"}}, nil, nil, nil},
		{"left unnoticed and being joined", map[string]protocol.Position{"a": at(2)}, []store.Membership{{Group: "a"}}, []string{"a"}, nil, nil},
	} {
		d := differencesOf(tt.follows, byGroup(tt.truth))
		if !slices.Equal(d.left, tt.left) || !slices.Equal(d.joined, tt.joined) || !slices.Equal(d.renewed, tt.renewed) {
			t.Errorf("%s: left %q, joined %q, renewed %q; want %q, %q, %q", tt.name, d.left, d.joined, d.renewed, tt.left, tt.joined, tt.renewed)
		}
	}
}
