package store

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
)

func positions(entries []Entry) []uint64 {
	out := []uint64{}
	for _, e := range entries {
		out = append(out, e.Pos.Seq)
	}
	return out
}

func TestPages(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		st := protocol.InboxOf("x")
		var epoch uint64
		for i := range 10 {
			epoch = send(t, s, "x", fmt.Sprint(i)).Epoch
		}
		at := func(seq uint64) protocol.Position { return protocol.Position{Epoch: epoch, Seq: seq} }
		type reader func(context.Context, protocol.Stream, protocol.Position, int) ([]Entry, error)
		for _, c := range []struct {
			name  string
			read  reader
			from  protocol.Position
			limit int
			want  string
		}{
			{"after the start", s.After, protocol.Position{}, 3, "[1 2 3]"},
			{"after is exclusive", s.After, at(3), 3, "[4 5 6]"},
			{"after, short at the end", s.After, at(8), 5, "[9 10]"},
			{"after the end", s.After, at(10), 5, "[]"},
			{"after an older epoch", s.After, protocol.Position{Epoch: epoch - 1, Seq: 99}, 2, "[1 2]"},
			{"after a later epoch", s.After, protocol.Position{Epoch: epoch + 1, Seq: 1}, 2, "[]"},
			{"after the largest position", s.After, protocol.Position{Epoch: math.MaxUint64, Seq: math.MaxUint64}, 2, "[]"},
			{"after, no room", s.After, at(1), 0, "[]"},
			{"after, negative room", s.After, at(1), -1, "[]"},
			{"before the end", s.Before, protocol.Position{}, 3, "[10 9 8]"},
			{"before is exclusive", s.Before, at(3), 5, "[2 1]"},
			{"before the first", s.Before, at(1), 5, "[]"},
			{"before the smallest position", s.Before, protocol.Position{Seq: 1}, 5, "[]"},
		} {
			t.Run(c.name, func(t *testing.T) {
				got, err := c.read(ctx, st, c.from, c.limit)
				if err != nil || fmt.Sprint(positions(got)) != c.want {
					t.Errorf("got %v, %v; want %s", positions(got), err, c.want)
				}
			})
		}
		if got, err := s.After(ctx, protocol.InboxOf("nobody"), protocol.Position{}, 5); err != nil || len(got) != 0 {
			t.Errorf("unknown stream: %v, %v", got, err)
		}
	})
}

// Entries that imtier did not write are passed over, and do not look like the end of the stream.
func TestForeignEntriesAreSkipped(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		pos := send(t, s, "x", "1")
		key := s.keys.stream(protocol.InboxOf("x"))
		for range 5 {
			cmd := s.client.B().Xadd().Key(key).Id(fmt.Sprint(pos.Epoch, "-*")).FieldValue().FieldValue("other", "v").Build()
			if err := s.do(ctx, cmd).Error(); err != nil {
				t.Fatal(err)
			}
		}
		send(t, s, "x", "2")
		after, err := s.After(ctx, protocol.InboxOf("x"), protocol.Position{}, 2)
		if err != nil || fmt.Sprint(positions(after)) != "[1 7]" {
			t.Errorf("after: %v, %v", positions(after), err)
		}
		before, err := s.Before(ctx, protocol.InboxOf("x"), protocol.Position{}, 2)
		if err != nil || fmt.Sprint(positions(before)) != "[7 1]" {
			t.Errorf("before: %v, %v", positions(before), err)
		}
	})
}

func TestTailsOfManyStreams(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		streams := []protocol.Stream{protocol.AllStream(), protocol.GroupOf("g")}
		before, err := s.Tails(ctx, streams)
		empty := Tail{Pos: protocol.Position{Epoch: before[0].Fence}, Fence: before[0].Fence}
		if err != nil || before[0].Fence == 0 || before[0] != empty || before[1] != empty {
			t.Fatalf("tails of nothing: %+v, %v", before, err)
		}
		streams = append(streams, inboxes(1000)...)
		var want []protocol.Position
		want = append(want, empty.Pos, empty.Pos)
		for i := range 1000 {
			pos := empty.Pos
			if i%100 == 0 {
				pos = send(t, s, fmt.Sprint(i), "m")
			}
			want = append(want, pos)
		}
		for range 2 * maxTails { // more of one partition than one call takes
			streams, want = append(streams, streams[2]), append(want, want[2])
		}
		tails, err := s.Tails(ctx, streams)
		if err != nil {
			t.Fatal(err)
		}
		for i, tail := range tails {
			if tail.Pos != want[i] || tail.Fence == 0 {
				t.Fatalf("tail of %v %q is %+v, want %v", streams[i], streams[i].Name, tail, want[i])
			}
		}
	})
}
