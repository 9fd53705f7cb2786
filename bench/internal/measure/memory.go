package measure

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// RSS returns the resident memory of a process in bytes (VmRSS of /proc/<pid>/status).
func RSS(pid int) (int64, error) { return field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") }

// PSS returns the proportional share of resident memory in bytes, which does not count shared pages in full.
func PSS(pid int) (int64, error) { return field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:") }

// field reads a line "Name:   123 kB".
func field(path, name string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read memory: %w", err)
		}
		return kb << 10, nil
	}
	return 0, fmt.Errorf("read memory: %s has no %s", path, name)
}

const (
	settlePoll = 250 * time.Millisecond
	// settledShare is how much memory may move within the quiet time: it is never quite still.
	settledShare = 0.005
)

// SettledRSS returns a process's memory when it has moved by less than half a percent for quiet, or after limit
// as it is then.
func SettledRSS(ctx context.Context, pid int, quiet, limit time.Duration) (int64, error) {
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	begin := time.Now()
	since, low, high := begin, int64(0), int64(0)
	for {
		now, err := RSS(pid)
		if err != nil {
			return 0, err
		}
		low, high = min(low, now), max(high, now)
		if float64(high-low) > settledShare*float64(high) {
			since, low, high = time.Now(), now, now
		}
		if time.Since(since) >= quiet || time.Since(begin) >= limit {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
	}
}
