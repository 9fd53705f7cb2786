package measure

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Pauses are what threads lose that never wait: time in which other programs run, or other machines on the same hardware.
// No latency's high percentiles can be below it.
type Pauses struct {
	Share   float64       `json:"share"`     // of the time, 0 to 1
	Longest time.Duration `json:"longestNs"` // nanoseconds
}

// pauseFrom is what counts as a pause; interrupts and Go's own work are shorter.
const pauseFrom = 500 * time.Microsecond

// MeasurePauses keeps all cores busy for as long as it is told and looks how often they were not its own.
func MeasurePauses(d time.Duration) Pauses {
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		sum Pauses
	)
	cores := runtime.GOMAXPROCS(0)
	begin := time.Now()
	for range cores {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			paused, longest := pausesUntil(begin, begin.Add(d), time.Now)
			mu.Lock()
			defer mu.Unlock()
			sum.Share += float64(paused) / float64(d) / float64(cores)
			sum.Longest = max(sum.Longest, longest)
		})
	}
	wg.Wait()
	return sum
}

// pausesUntil asks for the time again and again, and adds up where it jumps.
func pausesUntil(begin, end time.Time, now func() time.Time) (paused, longest time.Duration) {
	for last := begin; last.Before(end); {
		at := now()
		if gap := min(at.Sub(last), end.Sub(last)); gap >= pauseFrom {
			paused += gap
			longest = max(longest, gap)
		}
		last = at
	}
	return paused, longest
}

func (p Pauses) String() string {
	return fmt.Sprintf("%.1f%% of the time taken away from busy threads, longest pause %.1f ms", 100*p.Share, float64(p.Longest)/1e6)
}
