package imserver

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

// monitor shows what clients ask Redis for.
type monitor struct {
	t     *testing.T
	redis *redistest.Server
	lines *bufio.Reader
	marks int
}

func overhear(t *testing.T, redis *redistest.Server) *monitor {
	t.Helper()
	conn, err := net.Dial("tcp", redis.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	m := &monitor{t: t, redis: redis, lines: bufio.NewReader(conn)}
	if _, err := m.lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return m
}

// until returns the commands since it was called last that hold one of some texts. What scripts do is none.
func (m *monitor) until(texts ...string) (out []string) {
	m.t.Helper()
	m.marks++
	mark := fmt.Sprint("mark ", m.marks)
	m.redis.Do("ECHO", mark)
	for {
		line, err := m.lines.ReadString('\n')
		if err != nil {
			m.t.Fatal(err)
		}
		if strings.Contains(line, mark) {
			return out
		}
		for _, text := range texts {
			if strings.Contains(line, text) && !strings.Contains(line, " lua] ") {
				_, command, _ := strings.Cut(line, "] ")
				out = append(out, strings.TrimSpace(command))
				break
			}
		}
	}
}

// A connect is one call of one script: the URL's use, revocations, policy, presence and its event, groups and where they end.
// Only for groups that the URL does not name the node may have to ask, in one pipeline more: when it does not follow them
// yet, or for a raw connection.
func TestAConnectIsOneRoundTrip(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	named := 0
	id := func() string { // all in one partition, whose channel the node follows
		for {
			if named++; st.Partition(fmt.Sprint("client-", named)) == 0 {
				return fmt.Sprint("client-", named)
			}
		}
	}
	eve, elsewhere := id(), near(st, "room-1") // a group that the node does not follow, on a channel that it does
	if _, err := st.JoinGroups(t.Context(), eve, []string{"room-1", elsewhere}, store.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	warm := id() // the scripts are known, the groups followed
	n.connect(true, ticket.Claims{ClientID: warm, Groups: []string{"room-1", "room-2"}})
	n.connect(false, ticket.Claims{ClientID: warm})
	m := overhear(t, redis)
	expect := func(what string, want int, texts ...string) {
		t.Helper()
		got := m.until(append(texts, "SUBSCRIBE", `"im:{all}:s"`)...)
		if len(got) != want {
			t.Errorf("%s: %d commands, want %d:\n%s", what, len(got), want, strings.Join(got, "\n"))
		}
	}

	ann := id()
	n.connect(true, ticket.Claims{ClientID: ann, Device: "web", Policy: "one-per-device"})
	expect("no groups", 1, ann)

	bob := id()
	in := ticket.Claims{ClientID: bob, Groups: []string{"room-1", "room-2"}}
	n.connect(true, in)
	expect("two groups that are new", 1, bob, "room-")
	n.connect(true, in)
	expect("two groups", 1, bob, "room-")
	n.connect(false, in)
	expect("two groups, raw", 1, bob, "room-")
	n.connect(true, ticket.Claims{ClientID: bob})
	expect("two groups that the URL does not name", 1, bob, "room-")
	n.connect(false, ticket.Claims{ClientID: bob})
	expect("two groups that the URL does not name, raw", 1+2, bob, "room-")

	n.connect(true, ticket.Claims{ClientID: eve})
	expect("one of two groups is new to the node", 1+1, eve, "room-", elsewhere)
}

// near names another group of a group's partition.
func near(st *store.Store, group string) string {
	for i := 0; ; i++ {
		if other := fmt.Sprint("near-", i); st.Partition(other) == st.Partition(group) {
			return other
		}
	}
}
