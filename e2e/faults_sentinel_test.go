package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/e2e/internal/rig"
	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// failoverTime is how long a failover takes at most until everybody has everything: sentinels wait for three seconds, agree, and
// another second may pass until a node looks.
const failoverTime = 12 * time.Second

// onSentinels is an installation of two nodes on a master and its replica, watched and under load.
type onSentinels struct {
	*rig.Load
	*redistest.Sentinels
	watch *rig.Watch
	store *store.Store
}

func startOnSentinels(t *testing.T) *onSentinels {
	t.Helper()
	set := redistest.StartSentinels(t, 1)
	r := rig.Start(t, bin, rig.Options{Nodes: 2, RedisURL: set.URL()})
	s := &onSentinels{Sentinels: set, watch: r.Watch()}
	s.Load, s.store = loadOn(r, rig.LoadOptions{})
	return s
}

// replaced writes down, when a master has been killed, what may have been lost by the moment at which the new life began: what was
// answered by the dead may have come back to the sender after it died. Nothing of the new life is lost.
func (s *onSentinels) replaced() {
	s.T.Helper()
	s.Publisher.Lost(time.UnixMilli(int64(s.fence())))
}

// fence is where the present life begins. Epochs are the time at which they begin, in milliseconds.
func (s *onSentinels) fence() uint64 {
	s.T.Helper()
	tails, err := s.store.Tails(s.T.Context(), []protocol.Stream{protocol.AllStream()})
	if err != nil {
		s.T.Fatal(err)
	}
	return tails[0].Fence
}

// A master dies, and its replica takes its place, which has copied everything or nearly. The one that was comes back, and takes its
// place again when the other dies.
func TestFaultsSentinelFailover(t *testing.T) {
	t.Parallel()
	s := startOnSentinels(t)
	master := s.Servers[0]
	for range 2 {
		s.Settled(t, master)
		master.Kill()
		s.Publisher.Lost(time.Now())
		within(t, caughtUp(s.Load), failoverTime, "delivery after the master's death")
		s.replaced()
		was := master
		master = s.Promoted(t, was)
		was.Restart() // as a replica
	}
	s.Settled(t, master)
	within(t, caughtUp(s.Load), 3*time.Second, "delivery when the other one was a replica")
	s.Check()
	s.watch.Check(allOffline(s.Load), 20*time.Second)
}

// A master dies whose replica has copied nothing for a while.
func TestFaultsSentinelFailoverToAReplicaThatLags(t *testing.T) {
	t.Parallel()
	s := startOnSentinels(t)
	master, replica := s.Servers[0], s.Servers[1]
	s.CutOff(t, replica, master)
	<-time.After(length(5*time.Second, 2*time.Second)) // the load goes on
	lost := s.Send(ledger.Send{Kind: ledger.Direct, To: []string{s.Clients[0].ID()}})
	if !s.has(s.Clients[0].ID(), lost) {
		t.Errorf("%s was sent and is not there", lost)
	}
	master.Kill()
	s.Publisher.Lost(time.Now())
	replica.Resume()
	within(t, caughtUp(s.Load), failoverTime, "delivery after the master's death")
	s.replaced()
	if s.has(s.Clients[0].ID(), lost) {
		t.Errorf("%s is there: the replica did not lag", lost)
	}
	s.Check()
	s.wantAllOffline()
}

// Sentinels are told to replace a master that lives. It goes on until they make it a replica: what it takes from those who have not
// heard of the other one is lost.
func TestFaultsSentinelFailoverOfAMasterThatLives(t *testing.T) {
	t.Parallel()
	s := startOnSentinels(t)
	master := s.Servers[0]
	s.Settled(t, master)
	s.Failover(t)
	promoted := s.Promoted(t, master)
	rig.Eventually(t, failoverTime, "nobody uses the master that was", func() bool {
		clients := master.Do("CLIENT", "LIST")
		return !slices.ContainsFunc(programs, func(name string) bool { return strings.Contains(clients, "name="+name+" ") })
	})
	s.overtaken()
	within(t, caughtUp(s.Load), 3*time.Second, "delivery when everybody had moved")
	s.overtaken() // with what was under way
	s.Settled(t, promoted)
	within(t, caughtUp(s.Load), 3*time.Second, "delivery when the other one was a replica")
	s.Check()
	s.wantAllOffline()
}

// programs are the names that connections of the programs under test have in Redis.
var programs = []string{"webapi", "imserver"}

// overtaken writes down that whatever was taken by a master that is not used any more may have been lost, messages and changes of
// memberships.
func (s *onSentinels) overtaken() {
	s.T.Helper()
	fence := s.fence()
	of := func(a ledger.Send, present bool) bool {
		for _, text := range a.Pos {
			pos, err := protocol.ParsePosition(text)
			if err != nil {
				s.T.Fatal(err)
			}
			if pos.Epoch >= fence == present {
				return true
			}
		}
		return false
	}
	var moved, called, returned time.Time // the first answer of the present life, the last call of the one before, and its last answer
	for _, a := range s.Publisher.Sends() {
		if of(a, true) && (moved.IsZero() || a.Returned.Before(moved)) {
			moved = a.Returned
		}
		if of(a, false) && called.Before(a.Called) {
			called = a.Called
		}
		if of(a, false) && returned.Before(a.Returned) {
			returned = a.Returned
		}
	}
	for _, c := range s.Publisher.Changes() { // whose answer does not tell which life it is of
		if c.Called.Before(moved) && returned.Before(c.Returned) {
			returned = c.Returned
		}
	}
	s.Publisher.Lost(called.Add(1)) // what is called later is of the present life, and stays
	s.Publisher.Lost(returned.Add(1))
	s.Publisher.Lost(time.UnixMilli(int64(fence)))
}

// has tells whether a message is in the log of a client's inbox.
func (s *onSentinels) has(client, key string) bool {
	s.T.Helper()
	entries, err := s.store.After(s.T.Context(), protocol.InboxOf(client), protocol.Position{}, 1000)
	if err != nil {
		s.T.Fatal(err)
	}
	return slices.ContainsFunc(entries, func(e store.Entry) bool {
		m, err := protocol.DecodeEnvelope(e.Envelope)
		return err == nil && m.ID == key
	})
}

// wantAllOffline is what can be said of presence when Redis has lost data, and events with it: in the end it is right.
func (s *onSentinels) wantAllOffline() {
	s.T.Helper()
	for _, c := range s.Clients {
		rig.Eventually(s.T, patience, c.ID()+" is offline", func() bool {
			events := s.watch.History(c.ID())
			return len(events) > 0 && events[len(events)-1] == imhelper.EventOffline
		})
	}
	ids, err := s.API.OnlineClients(s.T.Context())
	if err != nil || len(ids) > 0 {
		s.T.Errorf("online are %v, %v", ids, err)
	}
}
