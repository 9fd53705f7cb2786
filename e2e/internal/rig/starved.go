package rig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/e2e/internal/proc"
	"github.com/imtier/imtier/pkg/store/redistest"
)

const (
	// watchEvery is how often it is noted who waits.
	watchEvery = 100 * time.Millisecond
	// standstill is how long a thread has to wait at least, or a note has to be late, for it to count as one.
	standstill = 100 * time.Millisecond
)

// Stopwatch measures how long something takes, and for how long of it a program of its installation was ready to run and had no
// processor: on a busy machine that says nothing about the program. It is safe for concurrent use.
type Stopwatch struct {
	begin time.Time
	end   chan struct{}

	programs []*proc.Program
	redis    *redistest.Server // nil if there was none

	mu    sync.Mutex
	last  map[string]time.Duration
	notes []note
}

// note is what was seen between two looks.
type note struct {
	from, to time.Time
	late     time.Duration            // this process has stood still, and perhaps the whole machine: the kernel's numbers say nothing then
	waited   map[string]time.Duration // by thread
}

// NewStopwatch begins now.
func (r *Rig) NewStopwatch() *Stopwatch {
	s := &Stopwatch{begin: time.Now(), end: make(chan struct{}), programs: []*proc.Program{r.WebAPI}, redis: r.Redis}
	for _, n := range r.Nodes {
		s.programs = append(s.programs, n.Program)
	}
	s.last = s.waits()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.look(watchEvery)
			case <-s.end:
				return
			}
		}
	}()
	r.T.Cleanup(func() { close(s.end); <-ended })
	return s
}

// look notes what has happened since the last look, which was to be so long ago.
func (s *Stopwatch) look(due time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := note{from: s.begin, to: time.Now(), waited: make(map[string]time.Duration)}
	if len(s.notes) > 0 {
		n.from = s.notes[len(s.notes)-1].to
	}
	if late := n.to.Sub(n.from) - due; late > standstill {
		n.late = late
	}
	now := s.waits()
	for thread, w := range now {
		if d := w - s.last[thread]; d > 0 {
			n.waited[thread] = d
		}
	}
	s.last = now
	s.notes = append(s.notes, n)
}

// Starved is for how long since the beginning the thread waited that had to wait longest, or everything stood still if that
// is more: a message passes through several programs, so it is rather too little.
func (s *Stopwatch) Starved() time.Duration { return s.starvedUntil(time.Now()) }

func (s *Stopwatch) starvedUntil(end time.Time) time.Duration {
	s.look(watchEvery)
	s.mu.Lock()
	defer s.mu.Unlock()
	return starved(s.notes, end)
}

func starved(notes []note, end time.Time) time.Duration {
	var late, most time.Duration
	waited := make(map[string]time.Duration)
	for _, n := range notes {
		if !n.from.Before(end) {
			break
		}
		bound := n.to.Sub(n.from)
		if n.to.After(end) {
			bound = end.Sub(n.from)
		}
		late += min(n.late, bound)
		for thread, w := range n.waited {
			waited[thread] += min(w, bound)
			most = max(most, waited[thread])
		}
	}
	return max(late, most)
}

// Less is a duration, measured from the beginning, without what a thread had to wait in it.
func (s *Stopwatch) Less(took time.Duration) time.Duration {
	return max(0, took-s.starvedUntil(s.begin.Add(took)))
}

// Standstills are the times in which a thread waited for long, or everything did.
func (s *Stopwatch) Standstills() []ledger.Span {
	s.look(watchEvery)
	s.mu.Lock()
	defer s.mu.Unlock()
	return standstills(s.notes)
}

func standstills(notes []note) (out []ledger.Span) {
	for i, n := range notes {
		long := n.late > 0
		for thread, w := range n.waited {
			if i > 0 { // it may have begun to wait before the last look
				w += notes[i-1].waited[thread]
			}
			long = long || w >= standstill
		}
		if long {
			out = append(out, ledger.Span{From: n.from, To: n.to})
		}
	}
	return out
}

// waits returns how long each thread of the installation's programs has waited for a processor.
func (s *Stopwatch) waits() map[string]time.Duration {
	out := make(map[string]time.Duration)
	for _, p := range s.programs {
		if pid := p.PID(); pid != 0 {
			addWaits(out, pid)
		}
	}
	if pid := s.redisPID(); pid != 0 {
		addWaits(out, pid)
	}
	return out
}

// redisPID is the process that Redis logged as last; of one that is gone there are no threads. Children that write a file log
// too, with another letter.
func (s *Stopwatch) redisPID() (pid int) {
	if s.redis == nil {
		return 0
	}
	log, _ := os.ReadFile(filepath.Join(s.redis.DataDir(), redisLog))
	for line := range bytes.Lines(log) {
		var n int
		if c, err := fmt.Sscanf(string(line), "%d:M ", &n); c == 1 && err == nil {
			pid = n
		}
	}
	return pid
}

// addWaits notes what the threads of a process waited: the second number of their schedstat, in nanoseconds.
func addWaits(out map[string]time.Duration, pid int) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, path := range threads {
		text, err := os.ReadFile(path)
		var ran, waited int64
		if err != nil {
			continue // it has ended
		}
		if _, err := fmt.Sscan(string(text), &ran, &waited); err == nil {
			out[path] = time.Duration(waited)
		}
	}
}
