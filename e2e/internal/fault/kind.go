package fault

import (
	"slices"
	"time"

	"github.com/imtier/imtier/e2e/internal/rig"
)

// Kind is one way to break things.
type Kind struct {
	Name        string
	Least, Most time.Duration // how long it lasts
	inflict     func(*rig.Load, Step)
}

// Kinds are all faults of an installation on one Redis that leave it with what it has on disk.
func Kinds() []Kind { return slices.Concat(nodeKinds(), redisKinds(), clientKinds()) }

// programKinds are those that do not ask what Redis is.
func programKinds() []Kind { return slices.Concat(nodeKinds(), clientKinds()) }

func nodeKinds() []Kind {
	return []Kind{
		{"kill-node", 200 * time.Millisecond, 4 * time.Second, killNode},
		{"stop-node", 200 * time.Millisecond, 2 * time.Second, stopNode},
		{"freeze-node", time.Second, 10 * time.Second, freezeNode},
	}
}

func clientKinds() []Kind {
	return []Kind{
		{"kill-webapi", 100 * time.Millisecond, 3 * time.Second, killWebAPI},
		{"cut-clients", 100 * time.Millisecond, 2 * time.Second, cutClients},
		{"stall-clients", time.Second, 8 * time.Second, stallClients},
	}
}

func redisKinds() []Kind {
	return []Kind{
		{"kill-redis", 200 * time.Millisecond, 5 * time.Second, killRedis},
		{"freeze-redis", 500 * time.Millisecond, 5 * time.Second, freezeRedis},
		{"empty-redis", 200 * time.Millisecond, 3 * time.Second, emptyRedis},
		{"roll-back-redis", 500 * time.Millisecond, 3 * time.Second, rollBackRedis},
		{"readonly-redis", time.Second, 4 * time.Second, readonlyRedis},
		{"full-redis", time.Second, 4 * time.Second, fullRedis},
		{"kill-subscribers", 2 * time.Second, 8 * time.Second, killSubscribers},
		{"flush-scripts", time.Second, 3 * time.Second, flushScripts},
		{"cut-off-silently", time.Second, 20 * time.Second, cutOffSilently},
		{"cut-off-with-resets", time.Second, 10 * time.Second, cutOffWithResets},
		{"slow-network", time.Second, 5 * time.Second, slowNetwork},
		{"cut-off-webapi", time.Second, 5 * time.Second, cutOffWebAPI},
	}
}

// AOFKinds are faults for a Redis with an append-only file.
func AOFKinds() []Kind {
	return []Kind{{"cut-aof", 200 * time.Millisecond, 3 * time.Second, cutAOF}}
}

// ByName finds a kind; there must be one of that name.
func ByName(name string) Kind {
	for _, k := range append(Kinds(), AOFKinds()...) {
		if k.Name == name {
			return k
		}
	}
	panic("there is no fault named " + name)
}

// Inflict carries out a step of this kind.
func (k Kind) Inflict(l *rig.Load, s Step) {
	s.Kind = k
	s.Inflict(l)
}
