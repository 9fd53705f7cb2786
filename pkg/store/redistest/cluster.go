package redistest

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	slots        = 16384
	awaitTimeout = 2 * time.Minute // for servers to agree, on a busy machine; a Cluster's master waits for 2 s, sentinels for 10 s
	// nodeTimeout is how long a server of a Cluster may be silent until the others take it for dead, in ms.
	nodeTimeout = "1500"
)

// Cluster is a Redis Cluster that belongs to one test.
type Cluster struct {
	Masters  []*Server // each with an equal part of the slots
	Replicas []*Server // the i-th follows the i-th master, and begins anew with the first; empty for none
}

// StartCluster runs a Cluster of so many masters, 3 at least, and replicas in all, and returns when it takes commands. It ends with
// the test.
func StartCluster(t testing.TB, masters, replicas int) *Cluster {
	t.Helper()
	c := &Cluster{}
	for i := range masters + replicas {
		s := StartNode(t)
		if i < masters {
			c.Masters = append(c.Masters, s)
		} else {
			c.Replicas = append(c.Replicas, s)
		}
	}
	c.form(t)
	t.Cleanup(func() { c.tell(t) })
	return c
}

// tell prints what each server thinks of the others when the test has failed.
func (c *Cluster) tell(t testing.TB) {
	if !t.Failed() {
		return
	}
	for _, s := range c.Servers() {
		nodes, err := roundTrip(s.Addr, "CLUSTER", "NODES")
		t.Logf("%s: %v\n%s", s.Addr, err, nodes)
	}
}

// StartNode runs a server that is ready to become part of a Cluster.
func StartNode(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return Start(t, append(opts, Args("--cluster-enabled", "yes", "--cluster-node-timeout", nodeTimeout))...)
}

// URL is the Cluster's address as store.Options wants it.
func (c *Cluster) URL() string {
	return "redis://" + c.Masters[0].Addr + "?addr=" + c.Masters[1].Addr + "&addr=" + c.Masters[2].Addr
}

// Servers are all of it, masters first.
func (c *Cluster) Servers() []*Server {
	return append(append([]*Server(nil), c.Masters...), c.Replicas...)
}

// Join adds a server, which has no slots yet, and returns when all know it.
func (c *Cluster) Join(t testing.TB, s *Server) {
	t.Helper()
	c.meet(s)
	c.Masters = append(c.Masters, s)
	c.settled(t)
}

// Owner is the master that has a slot, as soon as all masters agree. To move a slot before that is how a Cluster loses it: a
// server to which it is given, and that does not know yet how new the former owner's claim is, believes a packet of the former owner
// that was under way.
func (c *Cluster) Owner(t testing.TB, slot int) (owner *Server) {
	t.Helper()
	await(t, "the masters agree on who has a slot", func() bool {
		view := members(c.Masters[0])
		for _, m := range c.Masters[1:] {
			if !slices.EqualFunc(members(m), view, sameClaim) {
				return false
			}
		}
		i := slices.IndexFunc(c.Servers(), func(s *Server) bool { return s.Addr == ownerIn(view, slot) })
		if i >= 0 {
			owner = c.Servers()[i]
		}
		return i >= 0
	})
	return owner
}

func sameClaim(a, b member) bool { return a.id == b.id && a.slots == b.slots && a.epoch == b.epoch }

// ownerIn is the address of the master that has a slot in the eyes of a server; empty if none.
func ownerIn(view []member, slot int) string {
	for _, m := range view {
		if slices.ContainsFunc(m.ranges(), func(r slotRange) bool { return r.first <= slot && slot <= r.last }) {
			return m.addr
		}
	}
	return ""
}

// Move gives a slot with all that is in it to another master, as `redis-cli --cluster reshard` does.
func (c *Cluster) Move(t testing.TB, slot int, to *Server) {
	t.Helper()
	from := c.Owner(t, slot)
	if from == to {
		return
	}
	c.begin(t, slot, from, to)
	c.carry(t, slot, from, to)
	name, toID := strconv.Itoa(slot), to.Do("CLUSTER", "MYID")
	c.ok(t, to, "CLUSTER", "SETSLOT", name, "NODE", toID)
	for _, s := range append([]*Server{from}, c.Masters...) {
		if s == to {
			continue
		}
		// One that has lost its last slot may have heard of it, and be a replica by now.
		if answer := s.Do("CLUSTER", "SETSLOT", name, "NODE", toID); answer != "+OK" && !strings.Contains(answer, "only with masters") {
			t.Fatalf("give slot %s away: %s", name, answer)
		}
	}
}

// Begin has a slot move to another master, and nothing of it moved yet; Abort ends that.
func (c *Cluster) Begin(t testing.TB, slot int, to *Server) {
	t.Helper()
	c.begin(t, slot, c.Owner(t, slot), to)
}

func (c *Cluster) begin(t testing.TB, slot int, from, to *Server) {
	t.Helper()
	name := strconv.Itoa(slot)
	c.ok(t, to, "CLUSTER", "SETSLOT", name, "IMPORTING", from.Do("CLUSTER", "MYID"))
	c.ok(t, from, "CLUSTER", "SETSLOT", name, "MIGRATING", to.Do("CLUSTER", "MYID"))
}

// Carry moves what is in a slot that is moving.
func (c *Cluster) Carry(t testing.TB, slot int, to *Server) {
	t.Helper()
	c.carry(t, slot, c.Owner(t, slot), to)
}

func (c *Cluster) carry(t testing.TB, slot int, from, to *Server) {
	t.Helper()
	name := strconv.Itoa(slot)
	host, port, _ := net.SplitHostPort(to.Addr)
	for {
		keys := from.List("CLUSTER", "GETKEYSINSLOT", name, "100")
		if len(keys) == 0 {
			break
		}
		c.ok(t, from, append([]string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}, keys...)...)
	}
}

// Abort has a slot stay where it is.
func (c *Cluster) Abort(t testing.TB, slot int, to *Server) {
	t.Helper()
	for _, s := range []*Server{to, c.Owner(t, slot)} {
		c.ok(t, s, "CLUSTER", "SETSLOT", strconv.Itoa(slot), "STABLE")
	}
}

func (c *Cluster) ok(t testing.TB, s *Server, args ...string) {
	t.Helper()
	if answer := s.Do(args...); answer != "+OK" && answer != "+NOKEY" {
		t.Fatalf("%v: %s", args, answer)
	}
}

// MoveAll gives all slots of a master to another one.
func (c *Cluster) MoveAll(t testing.TB, from, to *Server) {
	t.Helper()
	view := members(from)
	i := slices.IndexFunc(view, func(m member) bool { return m.addr == from.Addr })
	if i < 0 {
		t.Fatalf("%s is no server of the cluster", from.Addr)
	}
	for _, r := range view[i].ranges() {
		for slot := r.first; slot <= r.last; slot++ {
			c.Move(t, slot, to)
		}
	}
}

func (c *Cluster) at(t testing.TB, addr string) *Server {
	t.Helper()
	for _, s := range c.Servers() {
		if s.Addr == addr {
			return s
		}
	}
	t.Fatalf("%s is no server of the cluster", addr)
	return nil
}

// form makes a Cluster of the servers.
func (c *Cluster) form(t testing.TB) {
	t.Helper()
	n := len(c.Masters)
	for i, s := range c.Masters {
		s.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		s.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*slots/n), strconv.Itoa((i+1)*slots/n-1))
	}
	for _, s := range c.Servers()[1:] {
		c.meet(s)
	}
	c.known(t)
	for i, r := range c.Replicas {
		r.Do("CLUSTER", "REPLICATE", c.Masters[i%n].Do("CLUSTER", "MYID"))
	}
	c.settled(t)
	for _, r := range c.Replicas {
		await(t, "a replica has copied its master", func() bool {
			return strings.Contains(r.Do("INFO", "replication"), "master_link_status:up")
		})
	}
}

func (c *Cluster) meet(s *Server) {
	host, port, _ := net.SplitHostPort(s.Addr)
	c.Masters[0].Do("CLUSTER", "MEET", host, port)
}

// known returns when every server knows all.
func (c *Cluster) known(t testing.TB) {
	t.Helper()
	all := c.Servers()
	for _, s := range all {
		await(t, "a server knows all others", func() bool {
			return strings.Contains(s.Do("CLUSTER", "INFO"), "cluster_known_nodes:"+strconv.Itoa(len(all))+"\r\n")
		})
	}
}

// settled returns when every server knows all and takes commands.
func (c *Cluster) settled(t testing.TB) {
	t.Helper()
	c.known(t)
	for _, s := range c.Servers() {
		await(t, "a server is part of the cluster", func() bool {
			return strings.Contains(s.Do("CLUSTER", "INFO"), "cluster_state:ok\r\n")
		})
	}
}

// await waits until something is so.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(awaitTimeout); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

// Shared is a Cluster of three masters that tests use one after the other, since it takes seconds to start one. The zero value is
// ready; Close ends it.
type Shared struct {
	c   *Cluster
	dir string
}

// Cluster is the Cluster, empty and without scripts.
func (sh *Shared) Cluster(t testing.TB) *Cluster {
	t.Helper()
	if sh.c == nil {
		sh.start(t)
	}
	for _, s := range sh.c.Masters {
		s.t = t
		s.Do("FLUSHALL")
		s.Do("SCRIPT", "FLUSH")
	}
	return sh.c
}

func (sh *Shared) start(t testing.TB) {
	t.Helper()
	dir, err := os.MkdirTemp("", "redistest-")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{}
	sh.dir, sh.c = dir, c
	for i := range 3 {
		at := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
		c.Masters = append(c.Masters, StartNode(t, Dir(at), kept()))
	}
	c.form(t)
}

// Close ends the Cluster, if it has been used.
func (sh *Shared) Close() {
	if sh.c == nil {
		return
	}
	for _, s := range sh.c.Masters {
		s.Stop()
	}
	_ = os.RemoveAll(sh.dir) // of the machine's temporary files
}
