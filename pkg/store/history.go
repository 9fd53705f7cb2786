package store

import (
	"context"
	_ "embed"
	"math"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

//go:embed lua/tails.lua
var tailsLua string

var tailsScript = newScript("tails", tailsLua)

// Entry is a stored message.
type Entry struct {
	Pos      protocol.Position
	Envelope []byte
}

// Tail is where a stream ends.
type Tail struct {
	Pos   protocol.Position // of the last message; zero when there is none
	Fence uint64            // positions with a smaller epoch were given out in an earlier life of Redis; 0 = none
}

// maxTails is how many streams one script call of Tails looks at.
const maxTails = 200

// After returns up to limit messages of a stream that follow a position, the oldest first. Fewer than limit means
// that the end was reached.
func (s *Store) After(ctx context.Context, st protocol.Stream, after protocol.Position, limit int) ([]Entry, error) {
	return readPages(limit, after, s.pageAfter(ctx, st))
}

func (s *Store) pageAfter(ctx context.Context, st protocol.Stream) func(protocol.Position, int) ([]rueidis.RedisMessage, error) {
	return func(from protocol.Position, n int) ([]rueidis.RedisMessage, error) {
		if from == lastPosition {
			return nil, nil
		}
		rows, err := s.do(ctx, s.readAfter(st, from, n)).ToArray()
		return rows, wrap("read "+st.String(), err)
	}
}

// readAfter is the command for n entries after a position other than the last.
func (s *Store) readAfter(st protocol.Stream, after protocol.Position, n int) rueidis.Completed {
	start := "-"
	if !after.IsZero() {
		start = "(" + after.String()
	}
	return s.client.B().Xrange().Key(s.keys.stream(st)).Start(start).End("+").Count(int64(n)).Build()
}

// Before returns up to limit messages of a stream that precede a position, the newest first. The zero position
// stands for the end of the stream.
func (s *Store) Before(ctx context.Context, st protocol.Stream, before protocol.Position, limit int) ([]Entry, error) {
	key := s.keys.stream(st)
	return readPages(limit, before, func(from protocol.Position, n int) ([]rueidis.RedisMessage, error) {
		end := "+"
		if !from.IsZero() {
			end = "(" + from.String()
		}
		cmd := s.client.B().Xrevrange().Key(key).End(end).Start("-").Count(int64(n)).Build()
		rows, err := s.do(ctx, cmd).ToArray()
		return rows, wrap("read "+st.String(), err)
	})
}

// lastPosition is the largest there is; Redis refuses to look beyond it.
var lastPosition = protocol.Position{Epoch: math.MaxUint64, Seq: math.MaxUint64}

// readPages reads until it has limit messages or the stream ends. Entries that are no messages (somebody else wrote
// into the stream) are left out without ending the page early.
func readPages(limit int, from protocol.Position, read func(protocol.Position, int) ([]rueidis.RedisMessage, error)) ([]Entry, error) {
	var out []Entry
	for len(out) < limit {
		want := limit - len(out)
		rows, err := read(from, want)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			pos, envelope, ok := parseEntry(&rows[i])
			if !pos.IsZero() {
				from = pos
			}
			if ok {
				out = append(out, Entry{pos, envelope})
			}
		}
		if len(rows) < want {
			break
		}
	}
	return out, nil
}

// parseEntry reads one row of XRANGE; ok is false for an entry without the field m.
func parseEntry(row *rueidis.RedisMessage) (pos protocol.Position, envelope []byte, ok bool) {
	parts, err := row.ToArray()
	if err != nil || len(parts) != 2 {
		return pos, nil, false
	}
	id, err := parts[0].ToString()
	if err != nil {
		return pos, nil, false
	}
	if pos, err = protocol.ParsePosition(id); err != nil {
		return pos, nil, false
	}
	fields, err := parts[1].ToArray()
	if err != nil {
		return pos, nil, false
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if name, _ := fields[i].ToString(); name == "m" {
			envelope, err = fields[i+1].AsBytes()
			return pos, envelope, err == nil
		}
	}
	return pos, nil, false
}

// Tails returns where streams end, in their order. It reads positions only, so that asking for many is cheap.
func (s *Store) Tails(ctx context.Context, streams []protocol.Stream) ([]Tail, error) {
	out := make([]Tail, len(streams))
	calls, at := s.planTails(streams)
	for from := 0; from < len(calls); from += maxPipeline {
		to := min(from+maxPipeline, len(calls))
		for i, r := range s.runMany(ctx, tailsScript, calls[from:to]) {
			if err := takeTails(r, out, at[from+i]); err != nil {
				return nil, wrap("read tails", err)
			}
		}
	}
	return out, nil
}

// planTails makes script calls of streams that share a partition; at says which streams a call is about.
func (s *Store) planTails(streams []protocol.Stream) (calls []call, at [][]int) {
	open := make(map[int]int) // partition → call that has room
	for i, st := range streams {
		p := s.keys.partitionOf(st)
		c, ok := open[p]
		if !ok || len(at[c]) == maxTails {
			c = len(calls)
			open[p] = c
			calls = append(calls, call{keys: []string{s.keys.epoch(p)}})
			at = append(at, nil)
		}
		calls[c].keys = append(calls[c].keys, s.keys.stream(st))
		at[c] = append(at[c], i)
	}
	return calls, at
}

func takeTails(r rueidis.RedisResult, out []Tail, at []int) error {
	row, err := r.AsStrSlice()
	if err != nil {
		return err
	}
	for k, i := range at {
		if k+1 >= len(row) {
			break
		}
		out[i].Fence = parseFence(row[0])
		if row[k+1] == "" {
			out[i].Pos = protocol.Position{Epoch: out[i].Fence}
			continue
		}
		if out[i].Pos, err = protocol.ParsePosition(row[k+1]); err != nil {
			return err
		}
	}
	return nil
}
