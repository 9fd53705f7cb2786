package store

import (
	"context"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

// Read says what of a stream to read.
type Read struct {
	Stream protocol.Stream
	After  protocol.Position
	Limit  int // most messages; 0: only where the stream ends
}

// Since is what a Read found.
type Since struct {
	Tail
	Entries []Entry // what follows the position, the oldest first; fewer than Limit when the end was reached
}

// Since is Tails and After together, in one round trip for as many as fit into a pipeline. What was in a stream when its
// tail was read is among the messages; newer ones may be, too.
func (s *Store) Since(ctx context.Context, reads []Read) ([]Since, error) {
	out := make([]Since, 0, len(reads))
	for from := 0; from < len(reads); from += maxPipeline {
		part, err := s.since(ctx, reads[from:min(from+maxPipeline, len(reads))])
		if err != nil {
			return nil, err
		}
		out = append(out, part...)
	}
	return out, nil
}

// since does that in one pipeline. The order of its commands counts: a message that is read as a tail is then found.
func (s *Store) since(ctx context.Context, reads []Read) ([]Since, error) {
	streams := make([]protocol.Stream, len(reads))
	for i, r := range reads {
		streams[i] = r.Stream
	}
	calls, at := s.planTails(streams)
	results := s.doMulti(ctx, s.sinceCommands(calls, reads)...)
	for _, r := range results[:len(calls)] {
		if isNoScript(r.Error()) { // known from now on
			if _, err := s.runChunks(ctx, tailsScript, calls, "read tails"); err != nil {
				return nil, err
			}
			results = s.doMulti(ctx, s.sinceCommands(calls, reads)...)
			break
		}
	}
	tails := make([]Tail, len(reads))
	for i, r := range results[:len(calls)] {
		if err := takeTails(r, tails, at[i]); err != nil {
			return nil, wrap("read tails", err)
		}
	}
	pages := results[len(calls):]
	out := make([]Since, len(reads))
	for i, r := range reads {
		out[i].Tail = tails[i]
		if !r.readable() {
			continue
		}
		page := pages[0]
		pages = pages[1:]
		var err error
		if out[i].Entries, err = s.rest(ctx, r, page); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readable tells whether there may be messages to read.
func (r Read) readable() bool { return r.Limit > 0 && r.After != lastPosition }

func (s *Store) sinceCommands(calls []call, reads []Read) []rueidis.Completed {
	cmds := make([]rueidis.Completed, 0, len(calls)+len(reads))
	for _, c := range calls {
		cmds = append(cmds, s.evalsha(s.of(tailsScript).sha, c))
	}
	for _, r := range reads {
		if r.readable() {
			cmds = append(cmds, s.readAfter(r.Stream, r.After, r.Limit))
		}
	}
	return cmds
}

// rest makes entries of the first page of a stream, and reads more if some of it were no messages.
func (s *Store) rest(ctx context.Context, r Read, page rueidis.RedisResult) ([]Entry, error) {
	more := s.pageAfter(ctx, r.Stream)
	read := false
	return readPages(r.Limit, r.After, func(from protocol.Position, n int) ([]rueidis.RedisMessage, error) {
		if read {
			return more(from, n)
		}
		read = true
		rows, err := page.ToArray()
		return rows, wrap("read "+r.Stream.String(), err)
	})
}
