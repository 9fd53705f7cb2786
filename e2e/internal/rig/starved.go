package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Stopwatch measures how long something takes, and for how long of it the programs of the tests were ready to run and had
// no processor: on a busy machine that says nothing about them.
type Stopwatch struct {
	begin  time.Time
	waited map[string]time.Duration // by thread, until begin
}

// NewStopwatch begins now.
func NewStopwatch() *Stopwatch { return &Stopwatch{begin: time.Now(), waited: waits()} }

// Starved is for how long since the beginning the thread waited that had to wait longest: a message passes through
// several programs, so it is rather too little. It is 0 where the kernel does not tell.
func (s *Stopwatch) Starved() time.Duration {
	var most time.Duration
	for thread, w := range waits() {
		most = max(most, w-s.waited[thread])
	}
	return most
}

// Less is a duration, measured since the beginning, without what Starved says.
func (s *Stopwatch) Less(took time.Duration) time.Duration { return max(0, took-s.Starved()) }

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
