package fault

import (
	"math/rand/v2"
	"time"

	"github.com/imtier/imtier/e2e/internal/rig"
)

const (
	killEvery  = 2 * time.Second
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
	l.Redis.Do("REPLICAOF", l.Host, "1")
	wait(s.Length)
	l.Redis.Do("REPLICAOF", "NO", "ONE")
}

func fullRedis(l *rig.Load, s Step) {
	l.Redis.Do("CONFIG", "SET", "maxmemory", "1mb") // less than an empty one needs
	wait(s.Length)
	l.Redis.Do("CONFIG", "SET", "maxmemory", "0")
}

func killSubscribers(l *rig.Load, s Step) {
	repeat(s.Length, killEvery, func() { l.Redis.Do("CLIENT", "KILL", "TYPE", "pubsub") })
}

func flushScripts(l *rig.Load, s Step) {
	repeat(s.Length, flushEvery, func() {
		begin := time.Now()
		l.Redis.Do("SCRIPT", "FLUSH")
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
