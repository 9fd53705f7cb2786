// Package beat lets what a process does now and then fall on the same moments. Each moment at which a silent process has something
// to do wakes threads and Go's scheduler, which takes longer than most of what is done then. Processes do not share these
// moments: they began at different ones.
package beat

import "time"

var began = time.Now()

// Until returns how long it is until the next beat: the time since the process began is a multiple of every. It is more than zero,
// and every at most.
func Until(every time.Duration) time.Duration { return until(time.Since(began), every) }

func until(now, every time.Duration) time.Duration { return every - now%every }
