package store

import (
	"slices"
	"strings"
	"testing"

	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestServersThatHaveJoinedACluster(t *testing.T) {
	const text = `07c3 127.0.0.1:30004@31004,hostname4 slave e7d1 0 1426238317239 4 connected
67ed 127.0.0.1:30002@31002,hostname2 master - 0 1426238316232 2 connected 5461-10922
292f 127.0.0.1:30003@31003 master,fail - 0 1426238318243 3 connected
6ec2 127.0.0.1:30005@31005 master - 0 1426238316232 5 connected
824f :0@0 master,noaddr - 0 1426238317741 6 disconnected
e7d1 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460 [5461-<-67ed]
9999 127.0.0.1:30009@31009 handshake - 0 0 0 connected
aaaa 127.0.0.1:30010@31010 master,fail? - 0 0 0 connected
short line
`
	var joined []string
	for _, n := range clusterNodes(text) {
		if n.joined() {
			joined = append(joined, n.addr)
		}
	}
	if want := []string{"127.0.0.1:30005"}; !slices.Equal(joined, want) {
		t.Errorf("joined: %v, want %v", joined, want)
	}
}

func knows(t *testing.T, srv *redistest.Server, s *Store) bool {
	t.Helper()
	return srv.Do("EVALSHA", s.lives.of(allPartition).sha, "0") != "-NOSCRIPT No matching script. Please use EVAL."
}

func TestAServerThatHasJoinedIsToldTheScriptsBeforeItHasASlot(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 0)
	s := open(t, Options{URL: c.URL()})
	h := hear(t, s)
	h.subscribe(t, allChannels(s)...)
	before := send(t, s, "ann", "before")
	joined := redistest.StartNode(t)
	c.Join(t, joined)
	must(t, s.greet(ctxb))
	if !knows(t, joined, s) {
		t.Fatal("it does not know the publish script")
	}
	c.Move(t, slotOf(s, "ann"), joined)
	if after := send(t, s, "ann", "after"); !before.Next(after) {
		t.Errorf("%v, then %v: a new life began", before, after)
	}
	h.waitStory(t, "lost", "restored")
	send(t, s, "ann", "at last")
	h.waitFor(t, "at last")
}

// Another process has begun the present life.
func TestAServerThatHasJoinedIsToldTheScriptsOfThePresentLife(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 0)
	s := open(t, Options{URL: c.URL()})
	publisher := open(t, Options{URL: c.URL()})
	send(t, s, "ann", "before")
	c.Owner(t, slotOf(s, "ann")).Do("SCRIPT", "FLUSH")
	send(t, publisher, "ann", "of a new life")
	joined := redistest.StartNode(t)
	c.Join(t, joined)
	must(t, s.greet(ctxb))
	if !knows(t, joined, publisher) {
		t.Error("it does not know the publish script")
	}
}

// A master that was away passes for one without slots while its place has been taken and it does not know that yet.
func TestAServerThatBelievesToHaveSlotsIsNotGreeted(t *testing.T) {
	c := shared.Cluster(t)
	s := open(t, Options{URL: c.URL()})
	send(t, s, "ann", "before")
	srv := c.Owner(t, slotOf(s, "ann"))
	srv.Do("SCRIPT", "FLUSH")
	err := s.loadAt(ctxb, srv.Addr, s.lives.of(allPartition).fence)
	if err == nil || !strings.Contains(err.Error(), errNotJoined.Error()) {
		t.Errorf("%v, want %v", err, errNotJoined)
	}
	if knows(t, srv, s) {
		t.Error("it was told the scripts")
	}
}

// A master that lost its last slot is a replica from then on.
func TestAReplicaForgetsTheScripts(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 4, 0)
	s := open(t, Options{URL: c.URL()})
	send(t, s, "ann", "before")
	last := c.Masters[3]
	c.MoveAll(t, last, c.Masters[0])
	eventually(t, "the server without slots is a replica", func() bool { return strings.HasPrefix(replicaState(last), "role:slave") })
	if !knows(t, last, s) {
		t.Fatal("it has forgotten the script by itself")
	}
	eventually(t, "it has forgotten the scripts", func() bool { must(t, s.greet(ctxb)); return !knows(t, last, s) })
	send(t, s, "ann", "after")
}

// replicaState is what a server says about replication, from its role on.
func replicaState(srv *redistest.Server) string {
	_, rest, _ := strings.Cut(srv.Do("INFO", "replication"), "role:")
	return "role:" + rest
}

// A master that is too busy to say what it is must keep the scripts: without them everybody is told of a loss.
func TestAMasterThatDoesNotAnswerKeepsTheScripts(t *testing.T) {
	c := shared.Cluster(t)
	s := open(t, Options{URL: c.URL()})
	send(t, s, "ann", "before")
	srv := c.Owner(t, slotOf(s, "ann"))
	srv.Do("ACL", "SETUSER", "default", "-role")
	t.Cleanup(func() { srv.Do("ACL", "SETUSER", "default", "+role") })
	must(t, s.greet(ctxb))
	if !knows(t, srv, s) {
		t.Error("it has forgotten the scripts")
	}
}

func TestAddressesOfServers(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:7000@17000":     "127.0.0.1:7000",
		"127.0.0.1:7000@17000,one": "127.0.0.1:7000",
		"2001:db8::1:7000@17000":   "[2001:db8::1]:7000",
		"127.0.0.1:7000":           "127.0.0.1:7000",
	} {
		if got := addressOf(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
