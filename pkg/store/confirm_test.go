package store

import (
	"slices"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// Who only reads goes by fences too, and must not wait for somebody to publish.
func TestConfirmBeginsALifeWhereScriptsAreForgotten(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		before := fences(t, s)
		must(t, s.Confirm(ctxb))
		if now := fences(t, s); !slices.Equal(now, before) {
			t.Fatalf("fences were %v and are %v although nothing has happened", before, now)
		}
		flushScripts(t, s)
		must(t, s.Confirm(ctxb))
		after := fences(t, s)
		for i, f := range after {
			if f <= before[i] {
				t.Fatalf("fence %d stayed at %d", i, f)
			}
		}
		must(t, s.Confirm(ctxb))
		if pos := send(t, s, "x", "m"); !slices.Equal(fences(t, s), after) || pos.Epoch < after[0] {
			t.Errorf("sent at %v; fences were %v and are %v", pos, after, fences(t, s))
		}
	})
}

// The same for who comes when it has happened already.
func TestOpeningARedisThatLivedAgainBeginsALife(t *testing.T) {
	srv := redistest.Start(t)
	one := send(t, open(t, Options{URL: srv.URL()}), "x", "1")
	srv.Do("SCRIPT", "FLUSH")
	tails, err := open(t, Options{URL: srv.URL()}).Tails(ctxb, []protocol.Stream{protocol.InboxOf("x")})
	if err != nil || tails[0].Pos != one || tails[0].Fence <= one.Epoch {
		t.Errorf("%+v, %v: %v would pass for the end", tails, err, one)
	}
}

// A publisher that has met only the fence that Redis fell back to cannot know better. A node that has met the other one can.
func TestConfirmRaisesAFenceThatFell(t *testing.T) {
	tests := []struct {
		name string
		node func(t *testing.T, s *Store, url string, lost uint64) *Store
	}{
		{"it was there", func(_ *testing.T, s *Store, _ string, _ uint64) *Store { return s }},
		{"it heard of a message", func(t *testing.T, _ *Store, url string, lost uint64) *Store {
			node := open(t, Options{URL: url})
			node.MeetFence(lost)
			return node
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := redistest.Start(t).URL()
			s := open(t, Options{URL: url})
			lost := fallBack(t, s)
			publisher := open(t, Options{URL: url})
			send(t, publisher, "y", "1") // under the fence that fell
			node := tt.node(t, s, url, lost.Epoch)
			must(t, node.Confirm(ctxb))
			if pos := send(t, publisher, "x", "2"); pos.Epoch <= lost.Epoch {
				t.Errorf("sent at %v after %v", pos, lost)
			}
		})
	}
}

// The clock of the server that came back may be late.
func TestANewLifeIsAboveEveryFenceThatWasMet(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	ahead := fences(t, s)[0] + 1_000_000_000
	s.MeetFence(ahead)
	must(t, s.Confirm(ctxb))
	if pos := send(t, s, "x", "m"); pos.Epoch <= ahead {
		t.Errorf("sent at %v, after the fence %d", pos, ahead)
	}
}
