package store

import (
	"errors"
	"testing"

	"github.com/imtier/imtier/pkg/store/redistest"
)

// A replica answers PING and takes PUBLISH, but nobody hears it: only a write tells.
func TestProbeIsRefusedByAReplica(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, Options{URL: srv.URL()})
	must(t, s.Probe(ctxb, "n1", "1"))
	srv.Do("REPLICAOF", "127.0.0.1", "1")
	if err := s.Probe(ctxb, "n1", "2"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	must(t, s.Ping(ctxb))
}
