package bus

import (
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

func TestAnotherMembership(t *testing.T) {
	at := func(seq uint64) protocol.Position { return protocol.Position{Epoch: 5, Seq: seq} }
	for _, tt := range []struct {
		name string
		m    store.Membership
		pos  protocol.Position
		want bool
	}{
		{"nothing was said since it began", store.Membership{Pos: at(3), Synced: true}, at(3), false},
		{"it was given what was said", store.Membership{Pos: at(3), Synced: true}, at(7), false},
		{"it began after what was given", store.Membership{Pos: at(3), Synced: true}, at(2), true},
		{"it is just being joined", store.Membership{}, at(7), true},
	} {
		if got := another(tt.m, tt.pos); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
