package imserver

import (
	"runtime"

	dto "github.com/prometheus/client_model/go"

	"github.com/imtier/imtier/imserver/internal/hub"
)

// State is the answer of /state on the admin listener.
type State struct {
	Node       string `json:"node"`
	URL        string `json:"url"`
	Goroutines int    `json:"goroutines"`
	HeapBytes  uint64 `json:"heapBytes"`
	hub.Stats
	Partitions int  `json:"partitions"` // channels subscribed to
	Leaving    int  `json:"leaving"`    // ended connections that Redis has not been told of
	Subscribed bool `json:"subscribed"`
	Draining   bool `json:"draining"`
}

func (s *Server) state() any {
	n := s.node.Load()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	st := State{Goroutines: runtime.NumGoroutine(), HeapBytes: mem.HeapAlloc}
	if n == nil {
		return st
	}
	st.Node, st.URL = n.lease.ID(), n.lease.URL()
	st.Stats = n.hub.Stats()
	st.Partitions, st.Leaving = n.bus.Channels(), n.leaver.Waiting()
	st.Subscribed, st.Draining = n.bus.Connected(), n.server.Draining()
	return st
}

func (s *Server) ready() error {
	if n := s.node.Load(); n != nil {
		return n.ready()
	}
	return errStarting
}

func (s *Server) gather() ([]*dto.MetricFamily, error) {
	if n := s.node.Load(); n != nil {
		return n.metrics.Registry.Gather()
	}
	return nil, nil
}
