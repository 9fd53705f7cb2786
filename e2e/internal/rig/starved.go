package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Stopwatch measures how long something takes, and for how long of it the programs of the tests were ready to run and had
// no processor: on a busy machine that says nothing about them.
type Stopwatch struct {
	stood  time.Duration            // standstills until it began
	waited map[string]time.Duration // by thread, until then
}

// NewStopwatch begins now.
func NewStopwatch() *Stopwatch {
	watchClock()
	return &Stopwatch{stood: time.Duration(stood.Load()), waited: waits()}
}

// Starved is for how long since the beginning the thread waited that had to wait longest, or everything stood still if that
// is more: a message passes through several programs, so it is rather too little.
func (s *Stopwatch) Starved() time.Duration {
	most := time.Duration(stood.Load()) - s.stood
	for thread, w := range waits() {
		most = max(most, w-s.waited[thread])
	}
	return most
}

// Less is a duration, measured since the beginning, without what Starved says.
func (s *Stopwatch) Less(took time.Duration) time.Duration { return max(0, took-s.Starved()) }

// The clock is looked at every clockTick. Later than that by a standstill, this process has stood still, and perhaps the whole
// machine: of a virtual one that gets no processor the kernel's numbers say nothing.
const (
	clockTick  = 10 * time.Millisecond
	standstill = 100 * time.Millisecond
)

var stood atomic.Int64 // nanoseconds of standstills since watchClock

var watchClock = sync.OnceFunc(func() {
	go func() {
		for last := time.Now(); ; {
			<-time.After(clockTick)
			now := time.Now()
			if late := now.Sub(last) - clockTick; late > standstill {
				stood.Add(int64(late))
			}
			last = now
		}
	}()
})

// waits returns how long each thread of this process and of those that it started has waited for a processor.
func waits() map[string]time.Duration {
	parents := make(map[string]string)
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold anything but this
		if words := strings.Fields(rest); len(words) > 1 {
			parents[filepath.Base(dir)] = words[1]
		}
	}
	own := fmt.Sprint(os.Getpid())
	out := make(map[string]time.Duration)
	for pid := range parents {
		for of := pid; of != ""; of = parents[of] {
			if of == own {
				addWaits(out, pid)
				break
			}
		}
	}
	return out
}

// addWaits notes what the threads of a process waited: the second number of their schedstat, in nanoseconds.
func addWaits(out map[string]time.Duration, pid string) {
	threads, _ := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
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
