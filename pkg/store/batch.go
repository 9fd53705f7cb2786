package store

import (
	"context"
	"errors"

	"github.com/redis/rueidis"
)

const (
	// pipelineLen bounds the commands of one pipeline, so that one of many calls stays under commandTimeout.
	pipelineLen = 512
	// scriptBatch bounds what one run of a script handles: Redis does nothing else meanwhile.
	scriptBatch = 1000
)

// runChunks runs a script many times, pipelineLen at a time. It runs all of them even if some fail: results of
// those are nil and the first error is returned, with what was being done.
func (s *Store) runChunks(ctx context.Context, sc *script, calls []call, action string) ([]*rueidis.RedisMessage, error) {
	out := make([]*rueidis.RedisMessage, len(calls))
	var first error
	for at := 0; at < len(calls); at += pipelineLen {
		end := min(at+pipelineLen, len(calls))
		for i, r := range s.runMany(ctx, sc, calls[at:end]) {
			m, err := r.ToMessage()
			if err != nil {
				if first == nil {
					first = wrap(action, err)
				}
				continue
			}
			out[at+i] = &m
		}
	}
	return out, first
}

// byPartition sorts items into the partitions of their addresses; the values are their places in items.
func byPartition[T any](s *Store, items []T, addr func(T) string) map[int][]int {
	out := make(map[int][]int)
	for i, it := range items {
		p := s.keys.partition(addr(it))
		out[p] = append(out[p], i)
	}
	return out
}

// numberAndPairs reads an array of a number and then texts, two by two. A call that failed returned nothing: nil.
func numberAndPairs(m *rueidis.RedisMessage) (n int64, pairs [][2]string, err error) {
	if m == nil {
		return 0, nil, nil
	}
	parts, err := m.ToArray()
	if err != nil {
		return 0, nil, err
	}
	if n, err = parts[0].AsInt64(); err != nil {
		return 0, nil, err
	}
	for i := 1; i+1 < len(parts); i += 2 {
		first, err1 := parts[i].ToString()
		second, err2 := parts[i+1].ToString()
		if err := errors.Join(err1, err2); err != nil {
			return 0, nil, err
		}
		pairs = append(pairs, [2]string{first, second})
	}
	return n, pairs, nil
}
