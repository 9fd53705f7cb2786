package redistest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Sentinels are a set of servers of which one is the master, and the sentinels that watch it. They belong to one test.
type Sentinels struct {
	Servers   []*Server // the first was the master in the beginning
	sentinels []string  // addresses
}

const (
	sentinelCount = 3
	masterName    = "mymaster"
	// downAfter is how long the master may be silent until a sentinel takes it for dead, in ms.
	downAfter = "1000"
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
		set.follow(t, r, master)
	}
	for range sentinelCount {
		set.sentinels = append(set.sentinels, startSentinel(t, master))
	}
	for _, addr := range set.sentinels {
		await(t, "the sentinels know one another and the replicas", func() bool {
			info, err := roundTrip(addr, "INFO", "sentinel")
			return err == nil && strings.Contains(info, "status=ok") && strings.Contains(info, "slaves="+strconv.Itoa(replicas)) &&
				strings.Contains(info, "sentinels="+strconv.Itoa(sentinelCount))
		})
	}
	return set
}

// URL is the sentinels' address as store.Options wants it.
func (set *Sentinels) URL() string {
	return "redis://" + set.sentinels[0] + "?addr=" + set.sentinels[1] + "&addr=" + set.sentinels[2] + "&master_set=" + masterName
}

// Master is the server that the sentinels say is the master.
func (set *Sentinels) Master(t testing.TB) *Server {
	t.Helper()
	var at *Server
	await(t, "a sentinel names the master", func() bool {
		for _, s := range set.Servers {
			info, err := roundTrip(set.sentinels[0], "INFO", "sentinel")
			if err == nil && strings.Contains(info, "address="+s.Addr) {
				at = s
				return true
			}
		}
		return false
	})
	return at
}

// follow makes a server a replica, and returns when it has copied its master.
func (set *Sentinels) follow(t testing.TB, replica, master *Server) {
	t.Helper()
	host, port, _ := net.SplitHostPort(master.Addr)
	replica.Do("REPLICAOF", host, port)
	await(t, "a replica has copied its master", func() bool {
		return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up")
	})
}

func startSentinel(t testing.TB, master *Server) (addr string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(master.Addr)
	for range portAttempts {
		dir := t.TempDir()
		addr = freeAddr(t)
		_, own, _ := net.SplitHostPort(addr)
		conf := filepath.Join(dir, "sentinel.conf")
		text := "port " + own + "\nbind 127.0.0.1\ndir " + dir + "\n" +
			"sentinel monitor " + masterName + " " + host + " " + port + " 2\n" +
			"sentinel down-after-milliseconds " + masterName + " " + downAfter + "\n" +
			"sentinel failover-timeout " + masterName + " 5000\n"
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("redis-server", conf, "--sentinel", "--logfile", filepath.Join(dir, "sentinel.log"))
		cmd.SysProcAttr = childAttr()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill() // it may have ended already
			_ = cmd.Wait()         // how it ended does not matter
		})
		if answers(addr) {
			return addr
		}
	}
	t.Fatal("no sentinel has started")
	return ""
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
