package measure

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the processor time that a process has used, of its own and in the kernel, to the nanosecond. Unlike the
// time on the clock it depends little on what else the machine does.
func CPU(pid int) (time.Duration, error) {
	if pid <= 0 {
		return 0, fmt.Errorf("read processor time: no process %d", pid)
	}
	// The kernel's name of another process's clock (clock_getcpuclockid(3)): the inverted id, then two bits that say
	// which of its clocks; 2 is the scheduler's, which is exact.
	const scheduler = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &t); err != nil {
		return 0, fmt.Errorf("read processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
