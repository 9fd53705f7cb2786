package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/e2e/internal/rig"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// startOnCluster runs two nodes on a Cluster, watched and under load. The store tells where things are.
func startOnCluster(t *testing.T, c *redistest.Cluster) (*rig.Load, *rig.Watch, *store.Store) {
	t.Helper()
	r := rig.Start(t, bin, rig.Options{Nodes: 2, RedisURL: c.URL()})
	w := r.Watch()
	l, st := loadOn(r, rig.LoadOptions{})
	return l, w, st
}

// loadOn puts an installation on a Redis that the test has started under load, and opens that Redis.
func loadOn(r *rig.Rig, o rig.LoadOptions) (l *rig.Load, st *store.Store) {
	r.T.Helper()
	l = r.Load(o)
	rig.Sure(r.T, func() (err error) {
		st, err = store.Open(r.T.Context(), store.Options{URL: r.RedisURL()})
		return err
	})
	r.T.Cleanup(st.Close)
	return l, st
}

// greeted is how long a server has to be part of a Cluster until the janitor has told it the scripts: before, its first slot alarms all.
const greeted = 3 * time.Second

// Slots of a third of the partitions go to another server and some of them to one that has joined, and everything goes on.
func TestFaultsReshardCluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 0)
	l, w, st := startOnCluster(t, c)
	joined := redistest.StartNode(t)
	c.Join(t, joined)
	<-time.After(greeted)
	begin := time.Now()
	partitions := length(st.Partitions(), st.Partitions()/3)
	for p := range partitions {
		to := joined
		if p%2 == 0 {
			to = c.Masters[p%3]
		}
		c.Move(t, protocol.Slot(st.ClientChannel(p)), to)
	}
	c.Move(t, protocol.Slot(st.AllChannel()), joined)
	t.Logf("slots of %d partitions moved in %v", partitions, time.Since(begin).Round(time.Millisecond))
	within(t, caughtUp(l), 2*time.Second, "delivery after the last slot had moved")
	for _, s := range l.Publisher.Sends() {
		if s.Outcome != ledger.OK {
			t.Errorf("%s: %s", s.Key, s.Error)
		}
	}
	l.Check()
	w.Check(allOffline(l), 20*time.Second)
}

// A master dies and its replica takes its place, which has copied everything or nearly.
func TestFaultsClusterFailover(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 3)
	l, w, st := startOnCluster(t, c)
	begin := time.Now()
	owner := c.Owner(t, protocol.Slot(st.AllChannel()))
	owner.Kill()
	l.Publisher.Lost(time.Now()) // a replica copies what has been answered a moment ago
	c.Masters = slices.DeleteFunc(c.Masters, func(s *redistest.Server) bool { return s == owner })
	within(t, caughtUp(l), 20*time.Second, "delivery after the master's death")
	// The other masters have lost nothing, but a new life is one of all partitions, as soon as it has been begun in each.
	rig.Eventually(t, patience, "the new life has begun everywhere", func() bool { return st.Confirm(t.Context()) == nil })
	l.Publisher.MayAlarm(begin, time.Now())
	owner.Restart() // as a replica
	within(t, caughtUp(l), 7*time.Second, "delivery after it came back")
	l.Check()
	w.Check(allOffline(l), 20*time.Second)
}

// allOffline is the truth when all clients have left.
func allOffline(l *rig.Load) map[string]bool {
	truth := make(map[string]bool)
	for _, c := range l.Clients {
		truth[c.ID()] = false
	}
	return truth
}
