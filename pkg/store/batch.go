package store

import (
	"context"

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
