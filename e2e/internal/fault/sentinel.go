package fault

import (
	"context"
	"slices"
	"time"

	"github.com/imtier/imtier/e2e/internal/rig"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// Sentinels breaks a master with replicas that sentinels watch. After each fault all servers run, and all but one are replicas.
type Sentinels struct {
	*redistest.Sentinels
	Confirm func(context.Context) error // see store.Store
}

// Kinds are the ways to break it, and the programs and clients on it.
func (c *Sentinels) Kinds() []Kind {
	return append(programKinds(),
		Kind{"kill-master", 200 * time.Millisecond, 3 * time.Second, c.killMaster},
		Kind{"kill-master-ahead", 500 * time.Millisecond, 3 * time.Second, c.killMasterAhead},
		Kind{"freeze-master", 500 * time.Millisecond, 8 * time.Second, c.freezeMaster},
		Kind{"fail-over", 200 * time.Millisecond, 2 * time.Second, c.failOver},
		Kind{"kill-replica", 200 * time.Millisecond, 4 * time.Second, c.killReplica},
		Kind{"flush-scripts", time.Second, 3 * time.Second, c.flushScripts},
		Kind{"kill-subscribers", 2 * time.Second, 8 * time.Second, c.killSubscribers},
	)
}

// killMaster kills the master. It comes back, as a replica, when another one has its place.
func (c *Sentinels) killMaster(l *rig.Load, s Step) { c.kill(l, s, time.Now(), c.Settle(l.T)) }

func (c *Sentinels) kill(l *rig.Load, s Step, begin time.Time, master *redistest.Server) {
	over := losing(l)
	master.Kill()
	c.resumeAll()
	c.Promoted(l.T, master)
	over()
	wait(s.Length)
	master.Restart()
	c.Settle(l.T)
	begun(l, begin, c.Confirm)
}

// killMasterAhead kills a master of which the replicas have copied nothing for a while.
func (c *Sentinels) killMasterAhead(l *rig.Load, s Step) {
	begin, master := time.Now(), c.Settle(l.T)
	for _, r := range c.replicas(master) {
		c.CutOff(l.T, r, master)
	}
	wait(s.Length)
	c.kill(l, s, begin, master)
}

// freezeMaster stops the master, which is replaced if that takes too long, and finds out many seconds afterwards.
func (c *Sentinels) freezeMaster(l *rig.Load, s Step) {
	begin, master := time.Now(), c.Settle(l.T)
	over := losing(l)
	master.Pause()
	wait(s.Length)
	master.Resume()
	c.Settle(l.T)
	over()
	begun(l, begin, c.Confirm)
}

// failOver has the sentinels replace a master that lives, and goes on until they tell it.
func (c *Sentinels) failOver(l *rig.Load, s Step) {
	begin, master := time.Now(), c.Settle(l.T)
	over := losing(l)
	c.Failover(l.T)
	c.Promoted(l.T, master)
	wait(s.Length)
	c.Settle(l.T)
	over()
	begun(l, begin, c.Confirm)
}

// killReplica kills a replica, by which nothing is lost, and nobody alarmed.
func (c *Sentinels) killReplica(l *rig.Load, s Step) {
	replicas := c.replicas(c.Settle(l.T))
	replica := replicas[s.Dice%uint64(len(replicas))]
	replica.Kill()
	wait(s.Length)
	replica.Restart()
	c.Settle(l.T)
}

func (c *Sentinels) flushScripts(l *rig.Load, s Step) {
	begin, master := time.Now(), c.Settle(l.T)
	repeat(s.Length, flushEvery, func() { order(l, master, "SCRIPT", "FLUSH") })
	begun(l, begin, c.Confirm)
}

func (c *Sentinels) killSubscribers(l *rig.Load, s Step) {
	master := c.Settle(l.T)
	repeat(s.Length, killEvery, func() { master.Do("CLIENT", "KILL", "TYPE", "pubsub") })
}

func (c *Sentinels) replicas(master *redistest.Server) []*redistest.Server {
	return slices.DeleteFunc(slices.Clone(c.Servers), func(s *redistest.Server) bool { return s == master })
}

// resumeAll ends what CutOff has begun.
func (c *Sentinels) resumeAll() {
	for _, s := range c.Servers {
		if s.Running() {
			s.Resume()
		}
	}
}
