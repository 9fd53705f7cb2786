package store

import (
	"context"
	_ "embed"
	"time"
)

//go:embed lua/probe.lua
var probeLua string

var probeScript = newRoamingScript("probe", probeLua)

// probeTTL removes the probes of nodes that are gone.
const probeTTL = time.Minute

// ProbeChannel is where a node's probes are heard.
func (s *Store) ProbeChannel(node string) string { return s.keys.probe(node) }

// Probe writes value and announces it on the node's ProbeChannel, as a send would.
func (s *Store) Probe(ctx context.Context, node, value string) error {
	key := s.keys.probe(node)
	return wrap("probe", s.run(ctx, probeScript, []string{key}, []string{value, key, seconds(probeTTL)}).Error())
}
