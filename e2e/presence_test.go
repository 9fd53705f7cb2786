package e2e

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/e2e/internal/proc"
	"github.com/imtier/imtier/e2e/internal/proxy"
	"github.com/imtier/imtier/e2e/internal/rig"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// offlineWithin is how long after a node died all its clients that did not come back have to be reported offline.
const offlineWithin = 20 * time.Second

func TestFaultsKillOneOfThree(t *testing.T) { killOneOfThree(t, length(1000, 150)) }

func TestFaultsKillOneOfThreeWith10000(t *testing.T) {
	if !rig.Full() {
		t.Skip("takes many connections: RIG_FULL=1")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 12_000 {
		t.Skipf("10,000 connections do not fit into %d descriptors", limit.Cur)
	}
	killOneOfThree(t, 10_000)
}

// killOneOfThree kills a node. Every second one of its clients comes back on another.
func killOneOfThree(t *testing.T, clients int) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 3, Redis: []redistest.Option{redistest.AOF()}})
	w := r.Watch()
	crowd := r.Crowd(clients, "client")
	truth := crowd.Everybody()
	w.Check(truth, time.Minute)

	victims := crowd.On(r.Nodes[0])
	slices.Sort(victims)
	var back, gone []string
	for i, id := range victims {
		if i%2 == 0 {
			back = append(back, id)
		} else {
			gone = append(gone, id)
			truth[id] = false
		}
	}
	if len(back) == 0 || len(gone) == 0 {
		t.Fatalf("%d of %d clients on the first node", len(victims), clients)
	}
	killed, watch := time.Now(), r.NewStopwatch()
	r.Nodes[0].Kill()
	crowd.Connect(back...)
	t.Logf("%d clients are elsewhere %v after the kill", len(back), time.Since(killed).Round(10*time.Millisecond))
	w.Check(truth, time.Minute)
	last := killed
	for _, e := range w.Events.All() {
		if e.Type == "offline" && !truth[e.Client] && !strings.HasPrefix(e.Client, "probe-") && e.At.After(last) {
			last = e.At
		}
	}
	t.Logf("%d clients are offline %v after the kill", len(gone), last.Sub(killed).Round(10*time.Millisecond))
	if took := watch.Less(last.Sub(killed)); took > offlineWithin {
		t.Errorf("it took %v until all were offline", took)
	}
	<-time.After(length(10*time.Second, time.Second)) // an event too many would come now
	w.Check(truth, 0)
	want := make(map[string][]string)
	for id, is := range truth {
		if want[id] = rig.OfflineOnce; is {
			want[id] = rig.OnlineOnce
		}
	}
	w.WantHistories(want)
}

// Redis is away for longer than a lease, and then everything stands still for as long, as when a machine is suspended. The clients
// have been connected all the time, and nobody is told anything else.
func TestFaultsNobodyIsOfflineBeyondTheLease(t *testing.T) {
	t.Parallel()
	const (
		beyond = 18 * time.Second
		enough = 10 * time.Second // for who would declare nodes dead
	)
	r := rig.Start(t, bin, rig.Options{Nodes: 3, Redis: []redistest.Option{redistest.AOF()}})
	w := r.Watch()
	crowd := r.Crowd(length(1000, 150), "client")
	truth := crowd.Everybody()
	w.Check(truth, time.Minute)
	nobodyOffline := func(what string) {
		t.Helper()
		<-time.After(enough)
		w.Check(truth, time.Minute)
		for _, e := range w.Events.All() {
			if e.Type == "offline" && truth[e.Client] {
				t.Fatalf("%s: %s was reported offline", what, e.Client)
			}
		}
	}
	r.Redis.Kill()
	<-time.After(beyond)
	r.Redis.Restart()
	nobodyOffline("redis was away")

	programs := []*proc.Program{r.WebAPI}
	janitor := r.Redis.Do("GET", "im:{all}:janitor")
	for _, n := range r.Nodes {
		programs = append(programs, n.Program)
		var st proc.State
		rig.Sure(t, func() (err error) { st, err = n.State(t.Context()); return err })
		if strings.HasPrefix(janitor, st.Node+":") { // it goes on first
			last := len(programs) - 1
			programs[0], programs[last] = programs[last], programs[0]
		}
	}
	for _, p := range programs {
		p.Pause()
	}
	r.Redis.Pause()
	<-time.After(beyond)
	r.Redis.Resume()
	for i, p := range programs {
		p.Resume()
		if i == 0 {
			<-time.After(time.Second)
		}
	}
	nobodyOffline("everything stood still")
}

// countsWithin is how soon after a node died the counts of groups have to be right.
const countsWithin = 2 * time.Second

// The count of a group is right long before the dead node's lease is over, and does not flap when a node is merely slow.
func TestFaultsGroupCountsAfterAKill(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 3, Redis: []redistest.Option{redistest.AOF()}})
	crowd := r.Crowd(length(300, 60), "client")
	var all []string
	for id := range crowd.Everybody() {
		all = append(all, id)
	}
	rig.Sure(t, func() error { return r.API.Join(t.Context(), "room", all...) })
	online := func() int {
		t.Helper()
		var g api.Group
		rig.Sure(t, func() (err error) {
			g, err = r.API.Group(t.Context(), "room")
			return err
		})
		if g.Members != len(all) {
			t.Fatalf("%+v, want %d members", g, len(all))
		}
		return g.Online
	}
	victims := crowd.On(r.Nodes[0])
	keep(t, r.DialVia(r.Nodes[1].Addr, victims[0], client.Raw)) // this one has a device elsewhere

	pausing, watch := time.Now(), r.NewStopwatch()
	r.Nodes[0].Pause()
	resumed := make(chan struct{})
	time.AfterFunc(500*time.Millisecond, func() { r.Nodes[0].Resume(); close(resumed) })
	wrong := 0
	for slow := true; slow; {
		select {
		case <-resumed:
			slow = false // and once more
		default:
		}
		if n := online(); n != len(all) {
			t.Logf("%d online while a node is slow, want %d", n, len(all))
			wrong++
		}
	}
	// A busy machine makes the pause a longer one, and other nodes seem dead.
	t.Logf("the pause took %v, a process waited %v for a processor", time.Since(pausing), watch.Starved())
	if took := time.Since(pausing); wrong > 0 && took < time.Second && watch.Starved() < 300*time.Millisecond {
		t.Errorf("%d wrong counts in a pause of %v", wrong, took)
	}
	rig.Eventually(t, patience, "all are counted", func() bool { return online() == len(all) })

	killed := time.Now()
	watch = r.NewStopwatch()
	r.Nodes[0].Kill()
	want := len(all) - len(victims) + 1
	rig.Eventually(t, patience, "the count is right", func() bool { return online() == want })
	took := time.Since(killed)
	t.Logf("of %d online %d are left %v after the kill", len(all), want, took.Round(10*time.Millisecond))
	took = watch.Less(took)
	if took > countsWithin {
		t.Errorf("it took %v", took)
	}
	if is, err := r.API.Online(t.Context(), victims...); err != nil || !is[victims[len(victims)-1]] {
		t.Errorf("presence did not wait for the lease: %v", err)
	}
	crowd.Connect(victims...)
	rig.Eventually(t, patience, "everybody is back", func() bool { return online() == len(all) })
}

// A whole load runs while a node is killed: everybody comes back, and nobody was offline for it.
func TestFaultsKillNodeUnderLoadPresence(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{Clients: 30, Groups: 3})
	w := l.Watch()
	known := make(map[string]bool)
	for _, c := range l.Clients {
		known[c.ID()] = true
	}
	w.Before = known
	inflict(l, "kill-node", length(20*time.Second, time.Second))
	w.Check(known, patience)
	for _, e := range w.Events.All() {
		if known[e.Client] && (e.Type == "offline" || e.Type == "online") {
			t.Errorf("%s was reported %s", e.Client, e.Type)
		}
	}
	l.Check()
}

const (
	pingEvery   = 2 * time.Second
	pongWithin  = 3 * time.Second
	graceOfRigs = 2 * time.Second
)

// A connection that is dead without a word is noticed by its silence.
func TestFaultsHalfOpen(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 1, NodeEnv: []string{
		"IM_PING_INTERVAL=" + pingEvery.String(), "IM_PONG_TIMEOUT=" + pongWithin.String(),
	}})
	w := r.Watch()
	p, err := proxy.Listen(r.Host+":0", r.Nodes[0].Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	const n = 10
	truth := map[string]bool{"direct": true}
	keep(t, r.Dial("direct", client.Raw))
	for i := range n {
		id := "far-" + strconv.Itoa(i)
		truth[id] = true
		kind := client.Raw
		if i%2 == 0 {
			kind = client.V1
		}
		keep(t, r.DialVia(p.Addr(), id, kind))
	}
	<-time.After(2 * (pingEvery + pongWithin)) // those that answer are left alone
	w.Check(truth, patience)
	want := make(map[string][]string)
	for id := range truth {
		want[id] = rig.OnlineOnce
	}
	w.WantHistories(want)
	cut, watch := time.Now(), r.NewStopwatch()
	p.Set(proxy.Drop)
	for id := range truth {
		if truth[id] = id == "direct"; !truth[id] {
			want[id] = rig.OfflineOnce
		}
	}
	w.Check(truth, patience)
	w.WantHistories(want)
	last := cut
	for _, e := range w.Events.All() {
		if e.Type == "offline" && e.At.After(last) {
			last = e.At
		}
	}
	limit := pingEvery + pongWithin + graceOfRigs + 2*time.Second
	t.Logf("all are offline %v after the network died, allowed are %v", last.Sub(cut).Round(10*time.Millisecond), limit)
	if watch.Less(last.Sub(cut)) > limit {
		t.Errorf("it took %v until all were offline", last.Sub(cut))
	}
}

// keep reads a connection until it ends, so that pings are answered.
func keep(t *testing.T, conn *client.Conn) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := conn.NextRaw(t.Context()); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { conn.Cut(); <-ended })
}

// The same client on two nodes, its devices coming and going.
func TestFaultsDevicesComeAndGo(t *testing.T) {
	t.Parallel()
	const clients, devices = 200, 2
	rate := length(500, 120)
	r := rig.Start(t, bin, rig.Options{Nodes: 2, Redis: []redistest.Option{redistest.AOF()}, NodeEnv: []string{
		"IM_OFFLINE_GRACE=300ms", "IM_EVENTS_SIZE=1000",
	}, WebAPIEnv: []string{"IM_EVENTS_SIZE=1000"}})
	w := r.Watch()
	c := r.NewChurn(clients, devices)
	truth := make(map[string]bool)
	for id := range c.Connections() {
		truth[id] = false
	}
	c.Run(length(10*time.Second, 2*time.Second), rate, 1) // whatever is made once is made now
	before := redisMemory(t, r)
	t.Logf("in Redis before: %s", redisKeys(r))
	d := length(5*time.Minute, 8*time.Second)
	n := c.Run(d, rate, 2)
	t.Logf("%d connects and disconnects, %.0f a second", n, float64(n)/d.Seconds())
	counts := c.Connections()
	for id, n := range counts {
		truth[id] = n > 0
	}
	w.Check(truth, patience)
	for id, n := range counts {
		if got := look(t, r, id); len(got.Connections) != n {
			t.Errorf("%s has %d connections, want %d", id, len(got.Connections), n)
		}
	}
	c.Leave()
	for id := range truth {
		truth[id] = false
	}
	w.Check(truth, patience)
	if rig.Full() {
		wantMemoryBack(t, r, before)
	}
}

// wantMemoryBack waits until Redis needs as much memory as before: marks of used URLs and of sessions that may be resumed
// live for up to two minutes.
func wantMemoryBack(t *testing.T, r *rig.Rig, before int) {
	t.Helper()
	const slack = 2 << 20 // bytes; an allocator gives back in pages
	now := 0
	took := rig.Eventually(t, 4*time.Minute, "Redis' memory is back", func() bool {
		<-time.After(time.Second)
		now = redisMemory(t, r)
		return now <= before+slack
	})
	t.Logf("Redis: %d KiB, before %d KiB, after %v", now>>10, before>>10, took.Round(time.Second))
	t.Logf("in Redis after: %s", redisKeys(r))
}

// redisKeys sums up what Redis holds, by the part of a key's name that tells its kind: how many keys, KiB, how many of
// them expire and in how many seconds the last of them does.
func redisKeys(r *rig.Rig) string {
	return r.Order("EVAL", `local kinds, names = {}, {}
		for _, key in ipairs(redis.call("KEYS", "*")) do
			local kind = string.match(key, "^im:{[^}]*}:([^:]+)") or string.match(key, "^im:(%a+)") or "?"
			local k = kinds[kind]
			if not k then
				k = {n = 0, bytes = 0, expire = 0, last = 0}
				kinds[kind], names[#names + 1] = k, kind
			end
			local ttl = redis.call("TTL", key)
			k.n, k.bytes = k.n + 1, k.bytes + redis.call("MEMORY", "USAGE", key, "SAMPLES", 0)
			if ttl >= 0 then k.expire, k.last = k.expire + 1, math.max(k.last, ttl) end
		end
		table.sort(names)
		for i, kind in ipairs(names) do
			local k = kinds[kind]
			names[i] = string.format("%s %d keys %d KiB (%d expire, <= %d s)", kind, k.n, k.bytes / 1024, k.expire, k.last)
		end
		return table.concat(names, "; ")`, "0")
}

// redisMemory is what Redis has allocated for data, in bytes.
func redisMemory(t *testing.T, r *rig.Rig) int {
	t.Helper()
	text := r.Order("EVAL", `return string.match(redis.call("INFO", "memory"), "used_memory_dataset:(%d+)")`, "0")
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatalf("used_memory_dataset: %q", text)
	}
	return n
}

// The checker has to see what is wrong with a consumer's ledger: one that drops an event, or makes one up.
func TestFaultsPresenceSabotage(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 1})
	w := r.Watch()
	crowd := r.Crowd(5, "client")
	truth := crowd.Everybody()
	w.Check(truth, patience)
	truth["client-9"] = true
	if found := w.Violations(truth, 0); len(found) != 2 {
		t.Errorf("a client without events: %v", found)
	}
	delete(truth, "client-9")
	w.Events.Add(ledger.Event{Key: "made-up", Seq: 1 << 60, Group: rig.WatchGroups[0], Type: "online", Client: "client-0", Time: time.Now().UnixMilli()})
	if found := w.Violations(truth, 0); len(found) == 0 {
		t.Error("an event that one group got only was not noticed")
	}
}
