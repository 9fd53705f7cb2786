package measure

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of /proc/stat: USER_HZ, which is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// Busy returns the time that the machine's processors have not been idle, all together, since it was started: what programs and
// the kernel used, and what neighbours on the same hardware took (steal). It is exact to some hundredths of a second.
func Busy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read processors' time: %w", err)
	}
	return busy(text)
}

// busy adds up the first line: user, nice, system, idle, iowait, irq, softirq, steal. What follows are guests, which user and nice
// have already (proc_stat(5)).
func busy(stat []byte) (time.Duration, error) {
	const idle, iowait, last = 3, 4, 7
	line, _, _ := bytes.Cut(stat, []byte{'\n'})
	name, rest, _ := bytes.Cut(line, []byte{' '})
	fields := bytes.Fields(rest)
	if string(name) != "cpu" || len(fields) <= last {
		return 0, fmt.Errorf("read processors' time: /proc/stat begins with %q", line)
	}
	var sum time.Duration
	for i, f := range fields[:last+1] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read processors' time: %w", err)
		}
		if i != idle && i != iowait {
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}
