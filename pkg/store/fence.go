package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/redis/rueidis"
)

// Why there are fences. Positions are consecutive numbers within an epoch, and a client that saw position 7 takes
// 8 as proof that it missed nothing. A Redis that lost the end of its data (restart from an old snapshot, failover
// to a replica that lagged) would give 6 and 7 out again, to other messages. So every life of a server has to use
// epochs above those of the lives before it: the fence is the smallest epoch that may still be given out.
//
// The publishing scripts are two, publish.lua and, for the plain case, append.lua; what follows is true of both.
//
// How a new life is noticed. Redis keeps its script cache in memory only: neither a restart nor a replica that is
// promoted knows the scripts (checked on 7.0: both answer NOSCRIPT). The publish script is therefore never sent
// by its text, only called by its SHA-1; NOSCRIPT means that the server may have lost something, and leads to
// newLife, which raises all fences.
//
// A script cache can also be too old: master A fails over to B, B takes messages, and then A, which was not
// restarted, becomes master again. A still knows the script, although it may lack the end of what B wrote. And
// between raising a fence and loading the script the server may die and forget the first but not the second. So
// the script's text carries the fence it was made for (and with it its SHA-1 changes), and it does nothing where
// the partition's fence is another one:
//
//	newLife   1. choose a fence above all others that are known    2. SCRIPT LOAD the copy made for it
//	          3. agree: raise the fence of "all", unless somebody has raised it since it was read
//	          4. raise the others to what "all" has then
//	publish   EVALSHA of the copy for the partition's fence → done, or
//	            the fence, when it is another one   → remember it, again
//	            NOSCRIPT                            → newLife, again
//
// Messages are appended under fence F only where the copy for F was loaded, and it was loaded before any fence
// was raised to F, by somebody who had chosen F as new. A server that has F in its data but is in another life
// has not got that copy. Publishers that race through newLife each load a copy of their own, the first to agree
// wins, and the others raise to the winner's fence and find its copy loaded. So a life begins once: a second fence,
// milliseconds after the first, would be a loss to everybody who began to follow between the two. Whoever finds a
// partition below "all" finishes what another began, or left undone. A needless newLife (SCRIPT FLUSH) costs a false
// alarm: clients are told that loss cannot be excluded.
//
// The same A may come back before it has copied anything from B. Then fence and script fit together, and both are of a life
// that is over: positions would go on below those that B gave out. So whoever has met a fence believes no lower one: to that
// process a partition that has one is in no life at all, and "all" below it is a reason for a new life. A publisher that B never
// told of its fence cannot know; but imservers hear of every fence, and ask when they may have missed something (Confirm).

//go:embed lua/publish.lua
var publishLua string

//go:embed lua/fence.lua
var fenceLua string

var fenceScript = newScript("fence", fenceLua)

// life is the copies of the publishing scripts for one fence.
type life struct {
	fence  uint64
	sha    string // of publish.lua
	append string // of append.lua
}

func lifeOf(fence uint64, cluster bool) *life {
	return &life{fence: fence, sha: copyFor(fence, publishLua, cluster).sha, append: copyFor(fence, appendLua, cluster).sha}
}

// copyFor is a publishing script for a fence.
func copyFor(fence uint64, script string, cluster bool) scriptText {
	text := "local LIFE = '" + formatFence(fence) + "'\n" + script
	if cluster {
		text = dropLastKey + text
	}
	return textOf(text, cluster)
}

// lives is what a Store knows about the fences: one life per partition, that of "all" at the end.
type lives struct {
	cluster bool
	known   []atomic.Pointer[life]
	top     atomic.Uint64 // the highest fence that was ever met
	turn    chan struct{} // held by the one who runs newLife
}

// noLife is no life: its script is never loaded anywhere, so that calling it leads to newLife.
var noLife = lifeOf(0, false)

func (l *lives) init(partitions int, cluster bool) {
	l.cluster = cluster
	l.known = make([]atomic.Pointer[life], partitions+1)
	for i := range l.known {
		l.known[i].Store(noLife)
	}
	l.turn = make(chan struct{}, 1)
}

func (l *lives) at(p int) *atomic.Pointer[life] {
	if p == allPartition {
		return &l.known[len(l.known)-1]
	}
	return &l.known[p]
}

func (l *lives) of(p int) *life { return l.at(p).Load() }

// learn remembers the fence that Redis reported for a partition. One below another that was met is of a life that is over, or
// has not been raised yet.
func (l *lives) learn(p int, fence uint64) {
	l.meet(fence)
	at := l.at(p)
	switch {
	case fence < l.top.Load():
		at.Store(noLife)
	case at.Load().fence != fence:
		at.Store(lifeOf(fence, l.cluster))
	}
}

// meet remembers that there is, or was, a fence.
func (l *lives) meet(fence uint64) {
	for top := l.top.Load(); top < fence && !l.top.CompareAndSwap(top, fence); top = l.top.Load() {
	}
}

// everywhere lists all partitions.
func (k keyspace) everywhere() []int {
	ps := make([]int, 0, k.partitions()+1)
	for p := range k.partitions() {
		ps = append(ps, p)
	}
	return append(ps, allPartition)
}

// readLives learns the fences that Redis has, and returns them in the order of everywhere.
func (s *Store) readLives(ctx context.Context) ([]uint64, error) {
	ps := s.keys.everywhere()
	cmds := make([]rueidis.Completed, len(ps))
	for i, p := range ps {
		cmds[i] = s.client.B().Get().Key(s.keys.epoch(p)).Build()
	}
	fences := make([]uint64, len(ps))
	for i, r := range s.doMulti(ctx, cmds...) {
		text, err := r.ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			return nil, wrap("read fences", err)
		}
		fences[i] = parseFence(text)
	}
	for i := len(ps) - 1; i >= 0; i-- { // that of "all" first: none is above it
		s.lives.learn(ps[i], fences[i])
	}
	return fences, nil
}

// parseFence reads a fence; what is none counts as 0, which leads to a new one.
func parseFence(text string) uint64 {
	f, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return f
}

func formatFence(f uint64) string { return strconv.FormatUint(f, 10) }

// newLife makes Redis accept messages again after it did not know the publish script of partition p by the name
// seen. It returns early when somebody else turns out to have done it.
func (s *Store) newLife(ctx context.Context, p int, seen string) (err error) {
	select {
	case s.lives.turn <- struct{}{}:
		defer func() { <-s.lives.turn }()
	case <-ctx.Done():
		return wrap("wait for new fences", ctx.Err())
	}
	if s.begun(p, seen) {
		return nil
	}
	fences, err := s.readLives(ctx)
	if err != nil {
		return err
	}
	if s.begun(p, seen) {
		return nil // another process did it
	}
	fence := fences[len(fences)-1]
	if p == allPartition || fence <= fences[p] { // else it was agreed on, and not raised everywhere yet
		if fence, err = s.agreeOnFence(ctx, fence); err != nil {
			return err
		}
	}
	return s.raiseFences(ctx, fence)
}

// begun reports whether a partition is known to be in another life than the one seen.
func (s *Store) begun(p int, seen string) bool {
	l := s.lives.of(p)
	return l != noLife && l.sha != seen
}

// agreeOnFence returns the fence of the life that follows the one of "all" that began at last: of our making, or of
// another process that was earlier.
func (s *Store) agreeOnFence(ctx context.Context, last uint64) (uint64, error) {
	fence, err := s.chooseFence(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.loadPublish(ctx, fence); err != nil {
		return 0, err
	}
	keys := []string{s.keys.epoch(allPartition)}
	text, err := s.run(ctx, fenceScript, keys, []string{formatFence(fence), formatFence(last)}).ToString()
	if err != nil {
		return 0, wrap("agree on a fence", err)
	}
	return parseFence(text), nil
}

// chooseFence finds one above all that were ever met, and above every epoch that was given out: a stream that is new begins
// with the present millisecond. (Where clocks go back by more than a server is away, by a failover to a
// server whose clock is late for example, a stream may have an epoch above the fence; see docs/operations.md.)
func (s *Store) chooseFence(ctx context.Context) (uint64, error) {
	now, err := s.do(ctx, s.askTime()).AsStrSlice()
	if err != nil {
		return 0, wrap("read redis time", err)
	}
	if len(now) != 2 {
		return 0, fmt.Errorf("read redis time: %d parts", len(now))
	}
	sec, err1 := strconv.ParseUint(now[0], 10, 64)
	usec, err2 := strconv.ParseUint(now[1], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("read redis time: %q", now)
	}
	return max(s.lives.top.Load()+1, sec*1000+usec/1000+1), nil
}

// loadPublish loads the publishing scripts for a fence on every master. A replica must not get it: once promoted it
// would pass for a server that has lost nothing.
func (s *Store) loadPublish(ctx context.Context, fence uint64) error {
	return s.onMasters(ctx, "load publish script", func(ctx context.Context, node rueidis.Client) error {
		return errors.Join(
			node.Do(ctx, node.B().ScriptLoad().Script(copyFor(fence, publishLua, s.cluster).text).Build()).Error(),
			node.Do(ctx, node.B().ScriptLoad().Script(copyFor(fence, appendLua, s.cluster).text).Build()).Error())
	})
}

// onMasters does something on every master. The only server of somebody who has neither a Cluster nor Sentinels is not asked: then
// it decides nothing what it says, and it may not be allowed to ask.
func (s *Store) onMasters(ctx context.Context, what string, do func(context.Context, rueidis.Client) error) error {
	nodes := s.client.Nodes()
	done := 0
	for addr, node := range nodes {
		if (len(nodes) > 1 || s.sentinel) && !isMaster(ctx, node) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		err := do(ctx, node)
		cancel()
		if err != nil {
			return wrap(what+" on "+addr, err)
		}
		done++
	}
	if done == 0 {
		return fmt.Errorf("%s: %w: no master known", what, ErrUnavailable)
	}
	return nil
}

func isMaster(ctx context.Context, node rueidis.Client) bool { return role(ctx, node) == "master" }

// role is what a server says that it is; empty when it does not.
func role(ctx context.Context, node rueidis.Client) string {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	role, err := node.Do(ctx, node.B().Role().Build()).ToArray()
	if err != nil || len(role) == 0 {
		return ""
	}
	name, _ := role[0].ToString()
	return strings.ToLower(name)
}

// raiseFences raises the fence of every partition that has a lower one and remembers what holds then.
func (s *Store) raiseFences(ctx context.Context, fence uint64) error {
	ps := s.keys.everywhere()
	calls := make([]call, len(ps))
	for i, p := range ps {
		calls[i] = call{[]string{s.keys.epoch(p)}, []string{formatFence(fence)}}
	}
	var first error
	for i, r := range s.runMany(ctx, fenceScript, calls) {
		text, err := r.ToString()
		if err != nil {
			if first == nil {
				first = wrap("raise fence", err)
			}
			continue
		}
		s.lives.learn(ps[i], parseFence(text))
	}
	return first
}
