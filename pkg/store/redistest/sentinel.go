package redistest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Sentinels are a set of servers of which one is the master, and the sentinels that watch it. They belong to one test.
type Sentinels struct {
	Servers   []*Server // the first was the master in the beginning
	sentinels []string  // addresses
	ends      []func()  // of the sentinels
}

const (
	sentinelCount = 3
	masterName    = "mymaster"
	// downAfter is how long the master may be silent until a sentinel takes it for dead, in ms. A busy machine keeps a server from a
	// processor for a second.
	downAfter = "3000"
	// failoverTimeout bounds a failover, and after twice that another one may be tried, in ms.
	failoverTimeout = "5000"
)

// StartSentinels runs a master, replicas of it, and three sentinels, and returns when they know one another. They end with the
// test.
func StartSentinels(t testing.TB, replicas int, opts ...Option) *Sentinels {
	t.Helper()
	set := &Sentinels{}
	for range 1 + replicas {
		set.Servers = append(set.Servers, Start(t, opts...))
	}
	master := set.Servers[0]
	for _, r := range set.Servers[1:] {
		r.Do("REPLICAOF", "127.0.0.1", master.Port())
	}
	await(t, "the replicas have copied their master", func() bool { return set.copied(master) })
	for range sentinelCount {
		addr, end := startSentinel(t, master)
		set.sentinels, set.ends = append(set.sentinels, addr), append(set.ends, end)
	}
	await(t, "the sentinels know one another and the replicas", func() bool { return set.settled(master) })
	return set
}

// URL is the sentinels' address as store.Options wants it.
func (set *Sentinels) URL() string {
	return "redis://" + set.sentinels[0] + "?addr=" + set.sentinels[1] + "&addr=" + set.sentinels[2] + "&master_set=" + masterName
}

// Promoted waits until all sentinels agree on another master than the one that was, and returns it.
func (set *Sentinels) Promoted(t testing.TB, was *Server) (now *Server) {
	t.Helper()
	await(t, "the sentinels agree on another master", func() bool {
		now = set.master()
		return now != nil && now != was && isMaster(now)
	})
	return now
}

// Failover has the sentinels give the place of a master that lives to a replica; Promoted waits for it.
func (set *Sentinels) Failover(t testing.TB) {
	t.Helper()
	await(t, "a sentinel begins with a failover", func() bool { // it refuses while another one is not over
		answer, err := roundTrip(set.sentinels[0], "SENTINEL", "FAILOVER", masterName)
		return err == nil && answer == "+OK"
	})
}

// Settled waits until the sentinels agree on a master, and all other servers that run are replicas that have copied it. It fails the
// test if it is not the expected one: a busy machine may have kept that from a processor for so long that it was replaced.
func (set *Sentinels) Settled(t testing.TB, master *Server) {
	t.Helper()
	if now := set.Settle(t); now != master {
		t.Fatalf("the master is %s in place of %s, which nobody has killed", now.Addr, master.Addr)
	}
}

// Settle waits as Settled does, and returns the master, whichever it is.
func (set *Sentinels) Settle(t testing.TB) (master *Server) {
	t.Helper()
	await(t, "the sentinels agree on a master that all others have copied", func() bool {
		master = set.master()
		return master != nil && isMaster(master) && set.copied(master) && set.settled(master)
	})
	return master
}

// CutOff keeps a replica from what its master takes from now on, until the master is gone or Resume is called. To freeze it is
// not enough: then it finds what the master has sent in its socket, even after the master's death.
func (set *Sentinels) CutOff(t testing.TB, replica, master *Server) {
	t.Helper()
	replica.Pause()
	await(t, "the master has no replica", func() bool {
		master.Do("CLIENT", "KILL", "TYPE", "replica")
		return !strings.Contains(master.Do("INFO", "replication"), ",port="+replica.Port()+",")
	})
}

// Blind ends all sentinels: from then on nobody says who the master is.
func (set *Sentinels) Blind() {
	for _, end := range set.ends {
		end()
	}
}

// EndHeard ends a sentinel that somebody listens to. The others go on, but do not agree with it any more.
func (set *Sentinels) EndHeard(t testing.TB) {
	t.Helper()
	i := -1
	await(t, "somebody listens to a sentinel", func() bool {
		i = slices.IndexFunc(set.sentinels, func(addr string) bool {
			listeners, err := roundTrip(addr, "CLIENT", "LIST", "TYPE", "pubsub")
			return err == nil && listeners != ""
		})
		return i >= 0
	})
	set.ends[i]()
}

// master is the server that all sentinels say is the master; nil while they do not agree.
func (set *Sentinels) master() *Server {
	i := slices.IndexFunc(set.Servers, func(s *Server) bool {
		return !slices.ContainsFunc(set.sentinels, func(addr string) bool { return !strings.Contains(sentinelInfo(addr), "address="+s.Addr+",") })
	})
	if i < 0 {
		return nil
	}
	return set.Servers[i]
}

// copied tells whether all servers that run, but for the master, have copied what it has.
func (set *Sentinels) copied(master *Server) bool {
	return !slices.ContainsFunc(set.Servers, func(r *Server) bool { return r != master && r.Running() && !hasCopied(r, master) })
}

func hasCopied(r, master *Server) bool {
	has := offset(replication(master), "master_repl_offset") // first: it may grow all the time
	info := replication(r)
	return has >= 0 && strings.Contains(info, "master_link_status:up") && strings.Contains(info, "master_port:"+master.Port()) &&
		offset(info, "slave_repl_offset") >= has
}

// settled tells whether all sentinels know one another and the replicas, and think well of the master.
func (set *Sentinels) settled(master *Server) bool {
	return !slices.ContainsFunc(set.sentinels, func(addr string) bool {
		return !strings.Contains(sentinelInfo(addr), "status=ok,address="+master.Addr+
			",slaves="+strconv.Itoa(len(set.Servers)-1)+",sentinels="+strconv.Itoa(sentinelCount))
	})
}

func sentinelInfo(addr string) string {
	info, _ := roundTrip(addr, "INFO", "sentinel") // without an answer it says nothing
	return info
}

// isMaster tells whether a server runs and says that it is a master.
func isMaster(s *Server) bool {
	return strings.Contains(replication(s), "role:master")
}

// replication is what a server says about it: nothing, when it is not there, or becomes a replica, which ends all connections.
func replication(s *Server) string {
	info, _ := roundTrip(s.Addr, "INFO", "replication")
	return info
}

// offset reads a number of INFO replication; -1 if it has none.
func offset(info, field string) int {
	_, rest, _ := strings.Cut(info, field+":")
	text, _, _ := strings.Cut(rest, "\r\n")
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

func startSentinel(t testing.TB, master *Server) (addr string, end func()) {
	t.Helper()
	for range portAttempts {
		dir := t.TempDir()
		addr = freeAddr(t)
		host, own, _ := net.SplitHostPort(addr)
		conf := filepath.Join(dir, "sentinel.conf")
		text := "port " + own + "\nbind " + host + "\ndir " + dir + "\n" +
			"sentinel monitor " + masterName + " 127.0.0.1 " + master.Port() + " 2\n" +
			"sentinel down-after-milliseconds " + masterName + " " + downAfter + "\n" +
			"sentinel failover-timeout " + masterName + " " + failoverTimeout + "\n"
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		log := filepath.Join(dir, "sentinel.log")
		cmd := exec.Command("redis-server", conf, "--sentinel", "--logfile", log)
		cmd.SysProcAttr = childAttr()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end = sync.OnceFunc(func() {
			_ = cmd.Process.Kill() // it may have ended already
			_ = cmd.Wait()         // how it ended does not matter
		})
		t.Cleanup(end)
		t.Cleanup(func() { tell(t, log) })
		if answers(addr) {
			return addr, end
		}
	}
	t.Fatal("no sentinel has started")
	return "", nil
}

// tell prints what a sentinel has done when the test has failed.
func tell(t testing.TB, log string) {
	if text, err := os.ReadFile(log); err == nil && t.Failed() {
		t.Logf("a sentinel:\n%s", text)
	}
}

// answers waits for a while until a server answers PING.
func answers(addr string) bool {
	for end := time.Now().Add(startTimeout); time.Now().Before(end); {
		if answer, err := roundTrip(addr, "PING"); err == nil && answer == "+PONG" {
			return true
		}
		<-time.After(20 * time.Millisecond)
	}
	return false
}
