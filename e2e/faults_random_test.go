package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/fault"
	"github.com/imtier/imtier/e2e/internal/rig"
	"github.com/imtier/imtier/pkg/store/redistest"
)

const (
	shortRandom = 15 * time.Second // of faults, in every run of the tests
	shortSeed   = 321              // slow-network, stall-clients, cut-clients, stop-node twice: many come back, and Redis loses nothing
	markEvery   = 8                // steps: so often everybody has to catch up, so that a run that is stuck does not go on
)

// TestFaultsRandom inflicts a random sequence of faults. RIG_MINUTES says for how long, RIG_SEED which one.
func TestFaultsRandom(t *testing.T) {
	seed, total := uint64(shortSeed), shortRandom
	if text := os.Getenv("RIG_MINUTES"); text != "" {
		minutes, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("RIG_MINUTES=%s: want a number", text)
		}
		seed, total = rand.Uint64N(1_000_000), time.Duration(minutes*float64(time.Minute))
	}
	if text := os.Getenv("RIG_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("RIG_SEED=%s: want a number", text)
		}
	}
	// Half of the seeds have an append-only file, the others a snapshot only, which loses more.
	kinds, o := fault.Kinds(), rig.Options{Nodes: 2}
	if seed%2 == 0 {
		kinds = append(kinds, fault.AOFKinds()...)
		o.Redis = []redistest.Option{redistest.AOF()}
	}
	t.Logf("to run it again: RIG_SEED=%d RIG_MINUTES=%.2f", seed, total.Minutes())
	l := startLoadOn(t, rig.LoadOptions{Seed: seed}, o)
	begin := time.Now()
	for i, step := range fault.Plan(seed, kinds, o.Nodes, total) {
		t.Logf("%v: %v", time.Since(begin).Round(time.Millisecond), step)
		step.Inflict(l)
		if i%markEvery == markEvery-1 {
			caughtUp(l)
			l.Calm()
		}
		if t.Failed() {
			break
		}
	}
	l.WaitReady()
	caughtUp(l)
	starts := 0
	for _, c := range l.Clients {
		starts += c.Starts()
	}
	if seed == shortSeed && starts < len(l.Clients)*4/3 {
		t.Errorf("%d clients connected %d times: hardly anybody came back, and this seed shows little", len(l.Clients), starts)
	}
	l.Check()
}
