package store

import (
	"fmt"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
)

func TestSinceIsTailsAndAfter(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		x, y, none := protocol.InboxOf("x"), protocol.GroupOf("y"), protocol.InboxOf("none")
		var epoch uint64
		for i := range 6 {
			epoch = send(t, s, "x", fmt.Sprint(i)).Epoch
		}
		last, err := s.PublishGroup(ctxb, message("1"), "y", false)
		must(t, err)
		at := func(seq uint64) protocol.Position { return protocol.Position{Epoch: epoch, Seq: seq} }
		reads := []Read{
			{x, at(2), 3}, {y, protocol.Position{}, 5}, {x, at(1), 0}, {none, protocol.Position{}, 5}, {protocol.AllStream(), at(1), 1},
			{x, lastPosition, 5}, {x, at(6), 5}, {x, at(5), 5},
		}
		check := func(when string) {
			t.Helper()
			got, err := s.Since(ctxb, reads)
			must(t, err)
			streams := make([]protocol.Stream, len(reads))
			for i, r := range reads {
				streams[i] = r.Stream
			}
			tails, err := s.Tails(ctxb, streams)
			must(t, err)
			for i, want := range []string{"[3 4 5]", "[1]", "[]", "[]", "[]", "[]", "[]", "[6]"} {
				if got[i].Tail != tails[i] || fmt.Sprint(positions(got[i].Entries)) != want {
					t.Errorf("%s: %d: %+v %v, want %+v %s", when, i, got[i].Tail, positions(got[i].Entries), tails[i], want)
				}
			}
			if got[0].Pos != at(6) || got[1].Pos != last.Pos {
				t.Errorf("%s: tails %+v %+v", when, got[0].Tail, got[1].Tail)
			}
		}
		check("at first") // the script is not known yet
		check("again")

		many := make([]Read, 0, 2*maxPipeline)
		for i := range 2 * maxPipeline {
			many = append(many, Read{protocol.InboxOf(fmt.Sprint("c", i)), protocol.Position{}, 1})
		}
		many[maxPipeline+1] = reads[0]
		got, err := s.Since(ctxb, many)
		must(t, err)
		if len(got) != len(many) || fmt.Sprint(positions(got[maxPipeline+1].Entries)) != "[3 4 5]" {
			t.Errorf("of many: %d, %+v", len(got), got[maxPipeline+1])
		}

		// Entries that are no messages do not look like the end.
		key := s.keys.stream(x)
		for range 5 {
			must(t, s.do(ctxb, s.client.B().Xadd().Key(key).Id(fmt.Sprint(epoch, "-*")).FieldValue().FieldValue("other", "v").Build()).Error())
		}
		send(t, s, "x", "behind")
		got, err = s.Since(ctxb, []Read{{x, at(5), 2}})
		must(t, err)
		wantEqual(t, "around others", positions(got[0].Entries), []uint64{6, 12})
	})
}
