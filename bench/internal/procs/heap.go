package procs

import (
	"context"
	"strconv"
	"strings"
)

// Heap is how the Go runtime of a server has divided its memory, in bytes.
type Heap struct {
	Live   int64 // objects right after a collection
	Spans  int64 // pages that hold objects: those, and room between and behind them
	Kept   int64 // pages without any, not given back
	Stacks int64
	Tables int64 // the runtime's own: spans, marks, caches
}

// Heap collects garbage and asks. It says nothing of what was there before the collection.
func (s *Server) Heap(ctx context.Context) (Heap, error) {
	body, err := s.admin(ctx, "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return Heap{}, err
	}
	return parseHeap(string(body)), nil
}

// parseHeap reads the lines "# HeapAlloc = 123" at the end of the profile.
func parseHeap(text string) Heap {
	at := make(map[string]int64)
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(strings.TrimPrefix(line, "# "), " = ")
		if !found {
			continue
		}
		value, _, _ = strings.Cut(strings.TrimSpace(value), " ") // "in use / reserved"
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			at[name] = n
		}
	}
	return Heap{
		Live: at["HeapAlloc"], Spans: at["HeapInuse"], Kept: at["HeapIdle"] - at["HeapReleased"], Stacks: at["Stack"],
		Tables: at["MSpan"] + at["MCache"] + at["GCSys"],
	}
}
