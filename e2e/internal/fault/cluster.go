package fault

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/imtier/imtier/e2e/internal/rig"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// Cluster breaks a Redis Cluster of which every master has a replica. After each fault all of them run and agree.
type Cluster struct {
	*redistest.Cluster
	Slots   []int                       // those with anything in them
	Confirm func(context.Context) error // see store.Store
}

// Kinds are the ways to break it, and the programs and clients on it.
func (c *Cluster) Kinds() []Kind {
	return append(programKinds(),
		Kind{"move-slots", time.Second, 5 * time.Second, c.moveSlots},
		Kind{"change-places", 200 * time.Millisecond, 2 * time.Second, c.changePlaces},
		Kind{"take-over", 200 * time.Millisecond, 2 * time.Second, c.takeOver},
		Kind{"kill-master", 200 * time.Millisecond, 3 * time.Second, c.killMaster},
		Kind{"empty-master", 0, 200 * time.Millisecond, c.emptyMaster},
		Kind{"freeze-master", 500 * time.Millisecond, 6 * time.Second, c.freezeMaster},
		Kind{"kill-replica", 200 * time.Millisecond, 4 * time.Second, c.killReplica},
		Kind{"flush-scripts", time.Second, 3 * time.Second, c.flushScripts},
		Kind{"kill-subscribers", 2 * time.Second, 8 * time.Second, c.killSubscribers},
	)
}

// moveSlots gives slots from one master to another, one after the other. Nothing is lost by it, and nobody alarmed.
func (c *Cluster) moveSlots(l *rig.Load, s Step) {
	rng := rand.New(rand.NewPCG(s.Dice, 0))
	repeat(s.Length, time.Millisecond, func() {
		c.Move(l.T, c.Slots[rng.IntN(len(c.Slots))], c.pick(rng))
	})
	c.Settled(l.T)
}

// changePlaces has a master and its replica change places in good order: nothing is lost by it.
func (c *Cluster) changePlaces(l *rig.Load, s Step) {
	begin, master := time.Now(), c.master(s)
	order(l, c.ReplicaOf(l.T, master), "CLUSTER", "FAILOVER")
	c.Replaced(l.T, master)
	wait(s.Length)
	c.Settled(l.T)
	c.begun(l, begin)
}

// takeOver has a replica take its master's place without asking it: what it has not copied is lost.
func (c *Cluster) takeOver(l *rig.Load, s Step) {
	begin, master := time.Now(), c.master(s)
	over := losing(l)
	order(l, c.ReplicaOf(l.T, master), "CLUSTER", "FAILOVER", "TAKEOVER")
	c.Replaced(l.T, master)
	over()
	wait(s.Length)
	c.Settled(l.T)
	c.begun(l, begin)
}

// killMaster kills a master. It comes back when a replica has its place.
func (c *Cluster) killMaster(l *rig.Load, s Step) {
	begin, master := time.Now(), c.master(s)
	over := losing(l)
	master.Kill()
	c.Replaced(l.T, master)
	over()
	wait(s.Length)
	master.Restart()
	c.Settled(l.T)
	c.begun(l, begin)
}

// emptyMaster kills a master, which is back, with nothing, before anybody takes it for dead.
func (c *Cluster) emptyMaster(l *rig.Load, s Step) {
	begin, master := time.Now(), c.master(s)
	over := losing(l)
	master.Kill()
	if err := os.RemoveAll(filepath.Join(master.DataDir(), "dump.rdb")); err != nil { // what it copied when it was a replica
		l.T.Fatal(err)
	}
	wait(s.Length)
	master.Restart()
	c.Settled(l.T)
	over()
	c.begun(l, begin)
}

// freezeMaster stops a master, which is replaced if that takes too long, and finds out afterwards: until then it takes what is lost.
func (c *Cluster) freezeMaster(l *rig.Load, s Step) {
	begin, master := time.Now(), c.master(s)
	over := losing(l)
	master.Pause()
	wait(s.Length)
	master.Resume()
	c.Settled(l.T)
	over()
	c.begun(l, begin)
}

// killReplica kills a replica, by which nothing is lost, and nobody alarmed.
func (c *Cluster) killReplica(l *rig.Load, s Step) {
	rng := rand.New(rand.NewPCG(s.Dice, 0))
	replica := c.Replicas[rng.IntN(len(c.Replicas))]
	replica.Kill()
	wait(s.Length)
	replica.Restart()
	c.Settled(l.T)
}

// flushScripts has a master forget the scripts, which is what a new life of it looks like.
func (c *Cluster) flushScripts(l *rig.Load, s Step) {
	begin, master := time.Now(), c.master(s)
	repeat(s.Length, flushEvery, func() { order(l, master, "SCRIPT", "FLUSH") })
	c.begun(l, begin)
}

func (c *Cluster) killSubscribers(l *rig.Load, s Step) {
	repeat(s.Length, killEvery, func() {
		for _, m := range c.Masters {
			m.Do("CLIENT", "KILL", "TYPE", "pubsub")
		}
	})
}

// master is the one that a step is about.
func (c *Cluster) master(s Step) *redistest.Server {
	return c.pick(rand.New(rand.NewPCG(s.Dice, 0)))
}

func (c *Cluster) pick(rng *rand.Rand) *redistest.Server { return c.Masters[rng.IntN(len(c.Masters))] }

func order(l *rig.Load, s *redistest.Server, args ...string) {
	l.T.Helper()
	if answer := s.Do(args...); answer != "+OK" {
		l.T.Fatalf("%v: %s", args, answer)
	}
}

// losing writes down, when over is called, that data may have been lost at any moment since.
func losing(l *rig.Load) (over func()) {
	begin := time.Now()
	return func() { l.Publisher.Losing(begin, time.Now()) }
}

// begun waits until the life that a fault has begun somewhere is that of all partitions. Who was connected since the fault may be
// alarmed, for the other masters' streams, too.
func (c *Cluster) begun(l *rig.Load, fault time.Time) {
	l.T.Helper()
	begun(l, fault, c.Confirm)
}

func begun(l *rig.Load, fault time.Time, confirm func(context.Context) error) {
	l.T.Helper()
	rig.Eventually(l.T, patience, "the new life has begun everywhere", func() bool { return confirm(l.T.Context()) == nil })
	l.Publisher.MayAlarm(fault, time.Now())
}
