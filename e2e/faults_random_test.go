package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/fault"
	"github.com/imtier/imtier/e2e/internal/rig"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

const (
	shortRandom      = 15 * time.Second // of faults, in every run of the tests
	shortSeed        = 321              // slow-network, stall-clients, cut-clients, stop-node twice: many come back, and Redis loses nothing
	shortSeedCluster = 12               // move-slots, empty-master, kill-master, kill-replica
	markEvery        = 8                // steps: so often everybody has to catch up, so that a run that is stuck does not go on
)

// TestFaultsRandom inflicts a random sequence of faults. RIG_MINUTES says for how long, RIG_SEED which one.
func TestFaultsRandom(t *testing.T) {
	seed, total := randomPlan(t, shortSeed)
	// Half of the seeds have an append-only file, the others a snapshot only, which loses more.
	kinds, o := fault.Kinds(), rig.Options{Nodes: 2}
	if seed%2 == 0 {
		kinds = append(kinds, fault.AOFKinds()...)
		o.Redis = []redistest.Option{redistest.AOF()}
	}
	l := startLoadOn(t, rig.LoadOptions{Seed: seed}, o)
	inflictAll(l, fault.Plan(seed, kinds, o.Nodes, total))
	starts := 0
	for _, c := range l.Clients {
		starts += c.Starts()
	}
	if seed == shortSeed && starts < len(l.Clients)*4/3 {
		t.Errorf("%d clients connected %d times: hardly anybody came back, and this seed shows little", len(l.Clients), starts)
	}
	l.Check()
}

// TestFaultsRandomCluster does the same on a Cluster whose masters have a replica each.
func TestFaultsRandomCluster(t *testing.T) {
	t.Parallel()
	seed, total := randomPlan(t, shortSeedCluster)
	c := &fault.Cluster{Cluster: redistest.StartCluster(t, 3, 3)}
	l, st := loadOn(rig.Start(t, bin, rig.Options{Nodes: 2, RedisURL: c.URL()}), rig.LoadOptions{Seed: seed})
	c.Confirm = st.Confirm
	for p := range st.Partitions() {
		c.Slots = append(c.Slots, protocol.Slot(st.ClientChannel(p)))
	}
	c.Slots = append(c.Slots, protocol.Slot(st.AllChannel()))
	inflictAll(l, fault.Plan(seed, c.Kinds(), len(l.Nodes), total))
	l.Check()
}

// TestFaultsRandomSentinels does the same on a master and its replica that sentinels watch.
func TestFaultsRandomSentinels(t *testing.T) {
	if os.Getenv(rigMinutes) == "" {
		t.Skip(rigMinutes + " is not set, and one failover after the other is what TestFaultsSentinelFailover is about")
	}
	t.Parallel()
	seed, total := randomPlan(t, 0)
	c := &fault.Sentinels{Sentinels: redistest.StartSentinels(t, 1)}
	l, st := loadOn(rig.Start(t, bin, rig.Options{Nodes: 2, RedisURL: c.URL()}), rig.LoadOptions{Seed: seed})
	c.Confirm = st.Confirm
	inflictAll(l, fault.Plan(seed, c.Kinds(), len(l.Nodes), total))
	l.Check()
}

const (
	rigMinutes = "RIG_MINUTES"
	rigSeed    = "RIG_SEED"
)

// randomPlan reads from the environment which sequence is wanted, and how long: the short one if nothing is said.
func randomPlan(t *testing.T, short uint64) (seed uint64, total time.Duration) {
	t.Helper()
	seed, total = short, shortRandom
	if text := os.Getenv(rigMinutes); text != "" {
		minutes, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%s=%s: want a number", rigMinutes, text)
		}
		seed, total = rand.Uint64N(1_000_000), time.Duration(minutes*float64(time.Minute))
	}
	if text := os.Getenv(rigSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s=%s: want a number", rigSeed, text)
		}
	}
	t.Logf("to run it again: %s=%d %s=%.2f", rigSeed, seed, rigMinutes, total.Minutes())
	return seed, total
}

// inflictAll carries out a plan, and returns when everybody has everything.
func inflictAll(l *rig.Load, plan []fault.Step) {
	l.T.Helper()
	begin := time.Now()
	for i, step := range plan {
		l.T.Logf("%v: %v", time.Since(begin).Round(time.Millisecond), step)
		step.Inflict(l)
		if i%markEvery == markEvery-1 {
			caughtUp(l)
			l.Calm()
		}
		if l.T.Failed() {
			break
		}
	}
	l.WaitReady()
	caughtUp(l)
}
