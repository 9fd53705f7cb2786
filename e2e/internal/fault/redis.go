package fault

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/e2e/internal/rig"
)

const (
	killEvery  = 2 * time.Second
	patience   = 20 * time.Second // for a fault to show, on a busy machine
	flushEvery = 100 * time.Millisecond
	// mostCut is how much of an append-only file's end is lost at most, in bytes: a few hundred messages.
	mostCut = 200_000
)

func killRedis(l *rig.Load, s Step) {
	l.KillRedis()
	wait(s.Length)
	l.RestartRedis()
}

func freezeRedis(l *rig.Load, s Step) {
	l.Redis.Pause()
	wait(s.Length)
	l.Redis.Resume()
}

func emptyRedis(l *rig.Load, s Step) {
	l.KillRedis()
	l.EmptyDisk()
	wait(s.Length)
	l.RestartRedis()
}

// rollBackRedis lets Redis work on for a while after its disk was remembered, kills it, and lets it go on from there.
func rollBackRedis(l *rig.Load, s Step) {
	restore := l.SaveDisk()
	wait(s.Length)
	l.KillRedis()
	restore()
	l.RestartRedis()
}

func cutAOF(l *rig.Load, s Step) {
	l.KillRedis()
	l.CutDisk(rand.New(rand.NewPCG(s.Dice, 0)).Int64N(mostCut))
	wait(s.Length)
	l.RestartRedis()
}

// readonlyRedis makes Redis the replica of a master that does not exist.
func readonlyRedis(l *rig.Load, s Step) {
	l.Order("REPLICAOF", l.Host, "1")
	refuse(l, s.Length)
	l.Order("REPLICAOF", "NO", "ONE")
}

func fullRedis(l *rig.Load, s Step) {
	l.Order("CONFIG", "SET", "maxmemory", "1mb") // less than an empty one needs
	refuse(l, s.Length)
	l.Order("CONFIG", "SET", "maxmemory", "0")
}

// refuse lets a fault last that makes Redis take nothing, and until a sender has been told so.
func refuse(l *rig.Load, d time.Duration) {
	l.T.Helper()
	begin := time.Now()
	wait(d)
	rig.Eventually(l.T, patience, "a send was refused with 503", func() bool {
		return slices.ContainsFunc(l.Publisher.Sends(), func(s ledger.Send) bool {
			return s.Called.After(begin) && s.Outcome == ledger.Failed && strings.HasPrefix(s.Error, "503 ")
		})
	})
}

func killSubscribers(l *rig.Load, s Step) {
	kill := func() bool { return l.Order("CLIENT", "KILL", "TYPE", "pubsub") != ":0" }
	rig.Eventually(l.T, patience, "a subscription was killed", kill) // after another fault there may be none yet
	wait(min(killEvery, s.Length))
	repeat(s.Length-killEvery, killEvery, func() { kill() })
}

func flushScripts(l *rig.Load, s Step) {
	repeat(s.Length, flushEvery, func() {
		begin := time.Now()
		l.Order("SCRIPT", "FLUSH")
		l.Publisher.MayAlarm(begin, time.Now()) // it is what a new life of Redis looks like
	})
}

// repeat calls f at once and then every so often.
func repeat(length, every time.Duration, f func()) {
	for end := time.Now().Add(length); time.Now().Before(end); {
		f()
		wait(min(every, time.Until(end)))
	}
}
