package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/e2e/internal/proxy"
	"github.com/imtier/imtier/e2e/internal/rig"
)

// quietLoad has two clients, one group, and nobody who sends but the test.
func quietLoad(t *testing.T) *rig.Load {
	t.Helper()
	l := startLoad(t, rig.LoadOptions{Clients: 2, Groups: 1, Senders: -1})
	return l
}

// loseUnseen makes Redis lose a message that was sent with success and that no node has got.
func loseUnseen(l *rig.Load, m ledger.Send, rollBack bool) {
	l.T.Helper()
	restore := l.EmptyDisk
	if rollBack {
		restore = l.SaveDisk()
	}
	for _, n := range l.Nodes {
		n.Proxy.Set(proxy.Reset)
	}
	l.Send(m)
	l.KillRedis()
	restore()
	l.RestartRedis()
	for _, n := range l.Nodes {
		n.Proxy.Set(proxy.Pass)
	}
	for _, n := range l.Nodes {
		rig.Eventually(l.T, patience, n.Name+" is ready again", func() bool { return n.IsReady(l.T.Context()) })
	}
}

// The first messages ever of a stream are lost: there was no position from which a client could tell.
func TestFaultsFirstMessageLost(t *testing.T) {
	for _, m := range []ledger.Send{
		{Kind: ledger.Direct, To: []string{"client-0"}},
		{Kind: ledger.Group, To: []string{"group-0"}},
		{Kind: ledger.Broadcast},
	} {
		t.Run(string(m.Kind), func(t *testing.T) {
			l := quietLoad(t)
			loseUnseen(l, m, true)
			l.Send(m)
			l.Check()
		})
	}
}

func TestFaultsFirstMessageLostWithEverything(t *testing.T) {
	for _, m := range []ledger.Send{
		{Kind: ledger.Direct, To: []string{"client-0"}},
		{Kind: ledger.Broadcast},
	} {
		t.Run(string(m.Kind), func(t *testing.T) {
			l := quietLoad(t)
			loseUnseen(l, m, false)
			l.Send(m)
			l.Check()
		})
	}
}

// The first message after a loss is not for everybody: those it is not for have to be told all the same, before the next
// one.
func TestFaultsGapAtAMessageForOthers(t *testing.T) {
	l := quietLoad(t)
	all := ledger.Send{Kind: ledger.Group, To: []string{"group-0"}}
	l.Send(all)
	l.Mark(patience)
	loseUnseen(l, all, true)
	others := all
	others.Except = "client-0"
	l.Send(others)
	l.Send(all)
	l.Check()
}

// A client is away while what it was sent is lost.
func TestFaultsLostWhileAway(t *testing.T) {
	for _, before := range []int{0, 3} {
		t.Run(fmt.Sprint(before, " before"), func(t *testing.T) { lostWhileAway(t, before) })
	}
}

func lostWhileAway(t *testing.T, before int) {
	l := quietLoad(t)
	m := ledger.Send{Kind: ledger.Direct, To: []string{"client-0"}}
	for range before {
		l.Send(m)
	}
	if before > 0 {
		l.Mark(patience)
	}
	restore := l.SaveDisk()
	back := l.Clients[0].Away()
	l.Send(m)
	l.Send(m)
	l.KillRedis()
	restore()
	l.RestartRedis()
	<-time.After(time.Second)
	back()
	l.WaitStarted(l.Clients...)
	l.Send(m)
	l.Check()
}
