package e2e

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/fault"
	"github.com/imtier/imtier/e2e/internal/proxy"
	"github.com/imtier/imtier/e2e/internal/rig"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestFaultsCutOffSilently(t *testing.T) {
	cutOff(t, proxy.Drop, length(30*time.Second, 8*time.Second))
}

func TestFaultsCutOffWithResets(t *testing.T) {
	cutOff(t, proxy.Reset, length(30*time.Second, 5*time.Second))
}

// cutOff separates a node from Redis: it has to notice, keep its clients, and catch up.
func cutOff(t *testing.T, m proxy.Mode, d time.Duration) {
	l := startLoad(t, rig.LoadOptions{})
	n := l.Nodes[0]
	type socket struct {
		node   string
		starts int
	}
	before, own := make(map[string]socket), 0
	for _, c := range l.Clients {
		before[c.ID()] = socket{c.Node(), c.Starts()}
		if strings.HasPrefix(c.Node(), n.Name) {
			own++
		}
	}
	if own == 0 {
		t.Fatal("nobody is on the node that is cut off")
	}
	begin, watch := time.Now(), l.NewStopwatch()
	n.Proxy.Set(m)
	noticed := rig.Eventually(t, patience, "the node is not ready", func() bool { return !n.IsReady(t.Context()) })
	within(t, watch.Less(noticed), 6*time.Second, "noticing")
	<-time.After(d - time.Since(begin))
	n.Proxy.Set(proxy.Pass)
	within(t, caughtUp(l), 5*time.Second, "catching up")
	rig.Eventually(t, patience, "the node is ready again", func() bool { return n.IsReady(t.Context()) })
	for _, c := range l.Clients {
		if was, is := before[c.ID()], (socket{c.Node(), c.Starts()}); is != was {
			t.Errorf("%s was on %s and connected again: it is on %s, start %d", c.ID(), was.node, is.node, is.starts)
		}
	}
	l.Check()
}

// Redis cuts the subscription of a node that does not read for long enough.
func TestFaultsFreezeNode(t *testing.T) {
	l := startLoadOn(t, rig.LoadOptions{Pad: 16 << 10, Clients: 30}, rig.Options{Nodes: 2, Narrow: 32 << 10, Redis: []redistest.Option{
		redistest.AOF(), redistest.Args("--client-output-buffer-limit", "pubsub 256kb 128kb 2"),
	}})
	l.Nodes[0].Pause()
	<-time.After(length(10*time.Second, 6*time.Second))
	rig.Eventually(t, patience, "Redis cuts the subscription, since the kernel keeps no more of what it sends", func() bool { // few are sent on a busy machine
		return strings.Contains(l.RedisLog(), "overcoming of output buffer limits")
	})
	l.Nodes[0].Resume()
	caughtUp(l)
	if !strings.Contains(l.Nodes[0].Output(), "subscription interrupted") {
		t.Error("the node did not notice that its subscription was cut")
	}
	l.Check()
}

// Longer than the lease: everybody else takes the node for dead.
func TestFaultsFreezeNodeBeyondLease(t *testing.T) {
	if !rig.Full() {
		t.Skip("takes long: RIG_FULL=1")
	}
	l := startLoad(t, rig.LoadOptions{})
	inflict(l, "freeze-node", 20*time.Second)
	rig.Eventually(t, patience, "everybody is online", func() bool {
		online, err := l.API.Online(t.Context(), names(l)...)
		for _, is := range online {
			if !is {
				return false
			}
		}
		return err == nil
	})
	l.Check()
}

func names(l *rig.Load) (ids []string) {
	for _, c := range l.Clients {
		ids = append(ids, c.ID())
	}
	return ids
}

func TestFaultsKillWebAPI(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	for range length(10, 3) {
		inflict(l, "kill-webapi", 100*time.Millisecond)
	}
	for _, c := range l.Clients {
		if c.Starts() != 1 {
			t.Errorf("%s connected %d times", c.ID(), c.Starts())
		}
	}
	l.Check()
}

func TestFaultsCutOffWebAPI(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	for range 2 {
		inflict(l, "cut-off-webapi", length(10*time.Second, 4*time.Second))
	}
	l.Check()
}

// All packets between a node and Redis take their time: what passes the node comes later, and nothing else happens.
func TestFaultsSlowNetwork(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{Clients: 30, Groups: 3})
	begin := time.Now()
	fault.ByName("slow-network").Inflict(l, fault.Step{Length: length(20*time.Second, 3*time.Second)})
	during := l.Latencies(begin, time.Now())
	caughtUp(l)
	if own := p99(during); own < fault.SlowDelay {
		t.Errorf("p99 was %v: nothing was slow", own)
	}
	for _, c := range l.Clients {
		if c.Starts() != 1 {
			t.Errorf("%s connected %d times", c.ID(), c.Starts())
		}
	}
	l.Check()
}

func TestFaultsStopNode(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	for node := range l.Nodes {
		watch := l.NewStopwatch()
		if code, took, err := l.Nodes[node].Stop(t.Context()); code != 0 || err != nil || watch.Less(took) > 10*time.Second {
			t.Errorf("node %d ended with %d after %v, %v", node+1, code, took, err)
		}
		caughtUp(l)
		if err := l.Nodes[node].Start(); err != nil {
			t.Fatal(err)
		}
		l.WaitReady()
	}
	l.Check()
}

// The cap of one slow client is IM_OUTBOX_SIZE; this much is allowed beyond all caps together, for the heap that the load
// itself needs.
const (
	outboxCap  = 256 << 10
	heapSlack  = 48 << 20
	slowBuffer = 128 << 10 // bytes that the kernel keeps for a client that does not read

	// Within 5 seconds twice what the kernel keeps at the sending end, 4 MiB.
	floodEvery = 25 * time.Millisecond
	floodBytes = 40 << 10
)

func TestFaultsStalledClients(t *testing.T) {
	stalled := length(100, 5)
	// Who does not read does not answer pings either, and would be closed for that where flooding takes its time.
	l := startLoadOn(t, rig.LoadOptions{Clients: 24, Groups: 3, Rate: 50, Slow: stalled, SlowBuffer: slowBuffer}, rig.Options{
		Nodes: 2, Redis: []redistest.Option{redistest.AOF()}, NodeEnv: []string{"IM_PING_INTERVAL=10m"},
	})
	slow := l.Clients[len(l.Clients)-stalled:]
	dialSlow(t, l, "raw", rig.SlowGroup)
	phase := length(15*time.Second, 5*time.Second)
	calm := time.Now()
	l.Flood(phase, floodEvery, floodBytes)
	was := p99(l.Latencies(calm, time.Now()))
	before := states(t, l)
	var again []func()
	for _, c := range slow {
		again = append(again, c.Stall())
	}
	is, limit := time.Hour, time.Duration(0)
	for tries := 0; tries < 4 && is > limit; tries++ { // a machine that stands still shows nothing
		storm, watch := time.Now(), l.NewStopwatch()
		l.Flood(phase, floodEvery, floodBytes)
		others := l.Latencies(storm, time.Now())
		// What is beyond the double is the noise of a busy machine: it may keep a program waiting for long, some times.
		is, limit = p99(others), 2*was+100*time.Millisecond+watch.Starved()/10
		t.Logf("p99 of the others: %v of %d, before %v", is, len(others), was)
	}
	during := states(t, l)
	for i, st := range during {
		t.Logf("node %d: %d bytes kept, heap %d MiB, before %d MiB", i+1, st.QueueBytes, st.HeapBytes>>20, before[i].HeapBytes>>20)
		if most := (stalled + 1) * (outboxCap + 32<<10); st.QueueBytes > most {
			t.Errorf("%d bytes are kept for slow clients, at most %d are allowed", st.QueueBytes, most)
		}
		if st.HeapBytes > before[i].HeapBytes+uint64(stalled*outboxCap)+heapSlack {
			t.Errorf("the heap grew from %d to %d MiB", before[i].HeapBytes>>20, st.HeapBytes>>20)
		}
	}
	if during[0].QueueBytes+during[1].QueueBytes == 0 {
		t.Error("nobody was slow: the test shows nothing")
	}
	if is > limit {
		t.Errorf("the others' p99 went from %v to %v", was, is)
	}
	wantTooSlow(t, l)
	for _, f := range again {
		f()
	}
	caughtUp(l)
	l.Check()
}

// dialSlow opens a raw connection that is never read from.
func dialSlow(t *testing.T, l *rig.Load, id string, groups ...string) {
	t.Helper()
	url, err := l.API.Connect(t.Context(), api.ConnectRequest{ClientID: id, Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := client.DialSlow(t.Context(), url, client.Raw, slowBuffer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Cut)
}

// wantTooSlow waits until a raw client was closed because it did not read; it has some seconds to answer the close frame.
func wantTooSlow(t *testing.T, l *rig.Load) {
	t.Helper()
	tooSlow := regexp.MustCompile(`reason="too slow"} 1`)
	rig.Eventually(t, patience, "the raw client is closed for being too slow", func() bool {
		for _, n := range l.Nodes {
			if _, body, err := n.Get(t.Context(), "/metrics"); err == nil && tooSlow.Match(body) {
				return true
			}
		}
		return false
	})
}

func states(t *testing.T, l *rig.Load) (all []stateOf) {
	t.Helper()
	for _, n := range l.Nodes {
		st, err := n.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stateOf{st.QueueBytes, st.HeapBytes})
	}
	return all
}

type stateOf struct {
	QueueBytes int
	HeapBytes  uint64
}

func p99(sorted []time.Duration) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)*99/100]
}

// Ten clients' connections break again and again while others are left alone.
func TestFaultsClientsComeAndGo(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	var wg sync.WaitGroup
	for _, c := range l.Clients[:10] {
		wg.Go(func() {
			for range length(30, 6) {
				c.Cut()
				<-time.After(400 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	caughtUp(l)
	for _, c := range l.Clients[10:] {
		if c.Starts() != 1 {
			t.Errorf("%s connected %d times", c.ID(), c.Starts())
		}
	}
	l.Check()
}
