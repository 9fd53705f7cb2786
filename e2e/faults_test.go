package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/fault"
	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/e2e/internal/rig"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// startLoad runs two nodes with a Redis that keeps an append-only file, under load.
func startLoad(t *testing.T, o rig.LoadOptions) *rig.Load {
	return startLoadOn(t, o, rig.Options{Nodes: 2, Redis: []redistest.Option{redistest.AOF()}})
}

func startLoadOn(t *testing.T, o rig.LoadOptions, ro rig.Options) *rig.Load {
	t.Helper()
	t.Parallel()
	l := rig.Start(t, bin, ro).Load(o)
	<-time.After(500 * time.Millisecond) // some messages before the fault
	return l
}

// length is how long a fault lasts: as in the wild, or shortened.
func length[T any](full, short T) T {
	if rig.Full() {
		return full
	}
	return short
}

// inflict breaks, repairs, and returns how long everybody took afterwards to have everything, as caughtUp does.
func inflict(l *rig.Load, name string, d time.Duration) time.Duration {
	l.T.Helper()
	fault.ByName(name).Inflict(l, fault.Step{Length: d})
	return caughtUp(l)
}

// caughtUp returns how long everybody takes to have everything, without the time for which there was no processor.
func caughtUp(l *rig.Load) time.Duration {
	l.T.Helper()
	watch := l.NewStopwatch()
	took, all := l.Mark(time.Minute)
	if !all {
		l.T.Errorf("after %v not everybody has everything", took)
	}
	own := watch.Less(took)
	l.T.Logf("everybody has everything %v after the repair, %v of it without waiting for a processor",
		took.Round(10*time.Millisecond), own.Round(10*time.Millisecond))
	return own
}

// within fails the test when something took too long. A busy machine gets half as much again, and a second.
func within(t *testing.T, took, limit time.Duration, what string) {
	t.Helper()
	if took > limit*3/2+time.Second {
		t.Errorf("%s took %v, the limit is %v", what, took, limit)
	}
}

func TestFaultsKillNode(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	l.Nodes[0].Kill()
	took := caughtUp(l) // on the other node
	within(t, took, 5*time.Second, "resuming elsewhere")
	if err := l.Nodes[0].Start(); err != nil {
		t.Fatal(err)
	}
	l.WaitReady()
	within(t, inflict(l, "kill-node", time.Second), 5*time.Second, "resuming after the second kill")
	l.Check()
}

func TestFaultsKillRedis(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	within(t, inflict(l, "kill-redis", length(5*time.Second, 2*time.Second)), 7*time.Second, "delivery after Redis came back")
	l.Check()
}

func TestFaultsFreezeRedis(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	within(t, inflict(l, "freeze-redis", length(10*time.Second, 4*time.Second)), 7*time.Second, "delivery after Redis came back")
	l.Check()
}

func TestFaultsEmptyRedis(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	inflict(l, "empty-redis", time.Second)
	l.Check()
}

// A snapshot is what Redis has by default: everything since is lost.
func TestFaultsRollBackToSnapshot(t *testing.T) {
	l := startLoadOn(t, rig.LoadOptions{}, rig.Options{Nodes: 2})
	inflict(l, "roll-back-redis", time.Second)
	inflict(l, "roll-back-redis", 2*time.Second)
	l.Check()
}

func TestFaultsRollBackAOF(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	inflict(l, "roll-back-redis", time.Second)
	inflict(l, "cut-aof", 500*time.Millisecond)
	l.Check()
}

func TestFaultsRefusingRedis(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	inflict(l, "readonly-redis", length(5*time.Second, time.Second))
	inflict(l, "full-redis", length(5*time.Second, time.Second))
	l.Check()
}

func TestFaultsKillSubscribers(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	for range 2 {
		within(t, inflict(l, "kill-subscribers", time.Second), time.Second, "catching up")
	}
	inflict(l, "kill-subscribers", length(30*time.Second, 4*time.Second))
	l.Check()
}

func TestFaultsFlushScripts(t *testing.T) {
	l := startLoad(t, rig.LoadOptions{})
	ok := false
	for tries := 0; tries < 3 && !ok; tries++ { // a machine that is too busy for new scripts ten times a second shows nothing
		ok = flushScripts(t, l)
	}
	if !ok {
		t.Error("each time more sends failed than standstills excuse")
	}
	l.Check()
}

// flushScripts fails the test for every send that fails while no program waits for a processor, and reports whether those that fail
// otherwise are few.
func flushScripts(t *testing.T, l *rig.Load) bool {
	t.Helper()
	begin, watch := time.Now(), l.NewStopwatch()
	fault.ByName("flush-scripts").Inflict(l, fault.Step{Length: length(20*time.Second, 2*time.Second)})
	stood := watch.Standstills()
	caughtUp(l)
	sends, excused := 0, 0
	for _, s := range l.Publisher.Sends() {
		if s.Called.Before(begin) {
			continue
		}
		sends++
		switch {
		case s.Error == "":
		case excusable(s, stood):
			excused++
		default:
			t.Errorf("%s: %s", s.Key, s.Error)
		}
	}
	t.Logf("%d of %d sends failed while a program waited for a processor, which it did in %d tenths of a second", excused, sends, len(stood))
	return excused <= sends*excusedPercent/100
}

// excusedPercent of the sends may fail while programs wait for a processor.
const excusedPercent = 3

// excusable tells whether a program waited for a processor during a send.
func excusable(s ledger.Send, stood []ledger.Span) bool {
	return slices.ContainsFunc(stood, func(at ledger.Span) bool { return at.To.After(s.Called) && at.From.Before(s.Returned) })
}
