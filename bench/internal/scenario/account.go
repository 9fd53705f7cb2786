package scenario

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
)

// spender is a process whose processor time is counted.
type spender struct {
	name string
	pid  int
	used time.Duration // at the last look

	ended bool
}

// spent is what one kind of work cost so far.
type spent struct {
	cpu   []time.Duration // by spender
	busy  time.Duration   // of all processors, whoever's
	clock time.Duration
	redis procs.RedisInfo // differences
}

// account says what each process spends on a kind of work, and what Redis does for it.
type account struct {
	redisURL string
	spenders []*spender
	works    map[string]*spent
	at       time.Time       // of the last look
	busy     time.Duration   // at the last look
	redis    procs.RedisInfo // at the last look
	asks     bool            // Redis can be asked
}

// account begins one that counts imbench itself under this name, and Redis when the stage has started it.
func (s *stage) account(self string) *account {
	a := &account{redisURL: s.redis, works: make(map[string]*spent), asks: s.redis != ""}
	a.add(self, os.Getpid())
	if s.ownRedis != nil {
		a.add("redis", s.ownRedis.PID())
	}
	return a
}

// add counts a process; those of the same name are summed up.
func (a *account) add(name string, pid int) {
	a.spenders = append(a.spenders, &spender{name: name, pid: pid})
}

// gone says that a process has ended, which can be asked no more.
func (a *account) gone(pid int) {
	for _, s := range a.spenders {
		if s.pid == pid {
			s.ended = true
		}
	}
}

// resident is the memory of the processes by name, in bytes; what several of them share counts once.
func (a *account) resident() (map[string]int64, error) {
	held := make(map[string]int64)
	for _, s := range a.spenders {
		if s.ended {
			continue
		}
		pss, err := measure.PSS(s.pid)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		held[s.name] += pss
	}
	return held, nil
}

// begin forgets what has been spent since the last look.
func (a *account) begin() error { return a.end("") }

// end adds what has been spent since the last look to a kind of work; "" is none.
func (a *account) end(work string) error {
	sum := a.works[work]
	if sum == nil {
		sum = &spent{redis: procs.RedisInfo{ByName: make(map[string]int64)}}
	}
	for len(sum.cpu) < len(a.spenders) {
		sum.cpu = append(sum.cpu, 0)
	}
	for i, s := range a.spenders {
		if s.ended {
			continue
		}
		now, err := measure.CPU(s.pid)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		sum.cpu[i] += now - s.used
		s.used = now
	}
	busy, err := measure.Busy()
	if err != nil {
		return err
	}
	now := time.Now()
	sum.busy, sum.clock = sum.busy+busy-a.busy, sum.clock+now.Sub(a.at)
	a.busy, a.at = busy, now
	a.askRedis(&sum.redis)
	if work != "" {
		a.works[work] = sum
	}
	return nil
}

// askRedis adds what Redis has done since the last look. One that cannot be asked is not asked again: it is somebody
// else's, with a password, and only a column of the table.
func (a *account) askRedis(sum *procs.RedisInfo) {
	if !a.asks {
		return
	}
	now, err := procs.ReadRedisInfo(a.redisURL)
	if err != nil {
		a.asks = false
		return
	}
	sum.Commands += now.Commands - a.redis.Commands - 1 // the question itself
	for name, calls := range now.ByName {
		sum.ByName[name] += calls - a.redis.ByName[name]
	}
	a.redis = now
}

// others is the part of the processors' time that was somebody else's during a kind of work, from 0 to 1.
func (a *account) others(work string) float64 {
	sum := a.works[work]
	if sum == nil || sum.clock <= 0 {
		return 0
	}
	rest := sum.busy
	for _, own := range sum.cpu {
		rest -= own
	}
	return max(0, float64(rest)/float64(sum.clock)/float64(runtime.NumCPU()))
}

// cost is what one of n pieces of a kind of work cost.
func (a *account) cost(work, unit string, n int64) report.Cost {
	c := report.Cost{Work: work, Unit: unit, Count: n}
	sum, each := a.works[work], float64(max(n, 1))
	if sum == nil {
		return c
	}
	for i, d := range sum.cpu {
		name, us := a.spenders[i].name, float64(d.Nanoseconds())/1e3/each
		if at := slices.IndexFunc(c.Processes, func(p report.Process) bool { return p.Name == name }); at >= 0 {
			c.Processes[at].Micros += us
			continue
		}
		c.Processes = append(c.Processes, report.Process{Name: name, Micros: us})
	}
	if a.asks {
		c.Redis = &report.Redis{Commands: float64(sum.redis.Commands) / each, ByName: make(map[string]float64)}
		for name, calls := range sum.redis.ByName {
			if calls > 0 && name != "info" {
				c.Redis.ByName[name] = float64(calls) / each
			}
		}
	}
	return c
}
