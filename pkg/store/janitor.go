package store

import (
	"context"
	_ "embed"
	"errors"
	"time"

	"github.com/imtier/imtier/pkg/beat"
)

//go:embed lua/lock.lua
var lockLua string

//go:embed lua/unlock.lua
var unlockLua string

var (
	lockScript   = newScript("lock", lockLua)
	unlockScript = newScript("unlock", unlockLua)
)

const (
	janitorRound = time.Second
	janitorLook  = 2 * time.Second // between the looks of those that wait whether the one that works is still there
	janitorLock  = 5 * time.Second // a janitor that stands still for so long is replaced
	repairEvery  = 5 * time.Second

	// janitorGap is the time without a round, beyond what work took, after which everybody may have stood still.
	janitorGap = 3 * time.Second

	// calmFor is how long Redis must have answered without an error, and rounds have followed each other, before nodes are
	// declared dead. When it comes back after an outage, or everything after a standstill, every lease is over, and nodes need a
	// moment to say that they live: a renewal that is under way may take commandTimeout to fail, and the next begins half a second
	// later. This is two of these. With janitorLock and janitorLook before it, it is still less than a lease: a node that dies together
	// with the janitor is found as soon as any other.
	calmFor = 6 * time.Second

	releaseTimeout = time.Second // to give a lock back while stopping
)

// janitor does what nobody else is there to do. Many may run; one at a time works.
type janitor struct {
	s       *Store
	token   string
	calmFor time.Duration

	calmSince time.Time     // zero: not the leader, or the last round failed
	worked    time.Duration // how long the last round took
	repaired  time.Time
}

// RunJanitor keeps presence and memberships true until ctx ends, and returns its error: it turns clients offline whose
// grace is over, takes the connections of dead nodes off the register, finishes abandoned membership changes, reports
// messages expired whose time is over, and tells receipts that somebody else left untold. Every
// program runs one; they agree on who works. name tells them apart in Redis. Trouble goes to onErr, once per round,
// and is tried again a second later.
func (s *Store) RunJanitor(ctx context.Context, name string, onErr func(error)) error {
	j := &janitor{s: s, token: name + ":" + newToken(), calmFor: calmFor}
	defer j.release(ctx)
	for {
		next := time.After(beat.Until(janitorRound))
		err := j.round(ctx)
		if err != nil && ctx.Err() == nil {
			onErr(err)
		}
		if err == nil && j.calmSince.IsZero() { // another one works
			next = time.After(beat.Until(janitorLook))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next:
		}
	}
}

// round does what is due, if this janitor is the one that works.
func (j *janitor) round(ctx context.Context) error {
	var dead []string
	var err error
	if !j.calmSince.IsZero() {
		// Before the lock, which tells of a standstill: who has no lease only after one has had no chance to renew it.
		dead, err = j.s.deadNodes(ctx)
	}
	leads, lockErr := j.lead(ctx)
	if lockErr != nil || !leads {
		return lockErr
	}
	now := time.Now()
	defer func() { j.worked = time.Since(now) }()
	if err == nil && now.Sub(j.calmSince) >= j.calmFor {
		err = j.s.reap(ctx, dead)
	}
	err = errors.Join(err, j.s.sweep(ctx)) // after reaping: whom a dead node held goes offline in the same round
	err = errors.Join(err, j.s.expire(ctx), j.s.greet(ctx))
	if now.Sub(j.repaired) >= repairEvery {
		j.repaired = now
		err = errors.Join(err, j.s.repair(ctx), j.s.retell(ctx))
	}
	if err != nil {
		j.calmSince = time.Time{}
	}
	return err
}

// lead takes or renews the lock, and reports whether this janitor is the one that works. The calm begins anew when the lock
// was taken, and when no round took place for a while: the processes stood still, or the machine with Redis and all.
func (j *janitor) lead(ctx context.Context) (bool, error) {
	idle, err := j.s.lock(ctx, j.s.keys.janitor(), j.token, janitorLock)
	leads := err == nil && idle >= 0
	switch {
	case !leads:
		j.calmSince = time.Time{}
	case j.calmSince.IsZero() || idle >= janitorLock || idle-j.worked >= janitorGap:
		j.calmSince = time.Now()
	}
	return leads, err
}

func (j *janitor) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	_ = j.s.unlock(ctx, j.s.keys.janitor(), j.token) // else it runs out
}

// lock takes or renews a lock. It returns for how long token had not renewed it, by Redis' clock: ttl when it did not hold it,
// less than zero when another one does.
func (s *Store) lock(ctx context.Context, key, token string, ttl time.Duration) (idle time.Duration, err error) {
	ms, err := s.run(ctx, lockScript, []string{key}, []string{token, millis(ttl)}).AsInt64()
	return time.Duration(ms) * time.Millisecond, wrap("lock "+key, err)
}

// unlock gives a lock back if token holds it.
func (s *Store) unlock(ctx context.Context, key, token string) error {
	return wrap("unlock "+key, s.run(ctx, unlockScript, []string{key}, []string{token}).Error())
}
