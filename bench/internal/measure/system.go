package measure

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// System is the machine's memory, in bytes.
type System struct {
	Total     int64
	Available int64 // the kernel's estimate of what programs could still get
	Used      int64 // what neither is free nor holds files only: programs and the kernel itself
	Slab      int64 // of Used: objects of the kernel, such as sockets
	Sockets   int64 // of Used: what sockets hold that is not read or not acknowledged yet (TCP only)
}

// kernelPage is the unit of /proc/net/sockstat.
var kernelPage = int64(os.Getpagesize())

// ReadSystem reads /proc/meminfo and /proc/net/sockstat. Used counts what MemAvailable leaves out: the kernel could reclaim
// inodes and directory entries, and therefore calls them available, but not those of open sockets.
func ReadSystem() (System, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return System{}, fmt.Errorf("read memory: %w", err)
	}
	m, err := meminfo(text)
	if err != nil {
		return System{}, err
	}
	s := System{
		Total: m["MemTotal"], Available: m["MemAvailable"], Slab: m["Slab"],
		Used: m["MemTotal"] - m["MemFree"] - m["Buffers"] - m["Cached"] + m["Shmem"],
	}
	s.Sockets, err = socketMemory("/proc/net/sockstat")
	return s, err
}

// meminfo reads lines "Name:  123 kB" into bytes.
func meminfo(text []byte) (map[string]int64, error) {
	m := make(map[string]int64)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		value, isSize := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		if !isSize {
			continue
		}
		kb, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read memory: %s: %w", name, err)
		}
		m[name] = kb << 10
	}
	for _, name := range []string{"MemTotal", "MemAvailable", "MemFree", "Slab"} {
		if _, ok := m[name]; !ok {
			return nil, fmt.Errorf("read memory: /proc/meminfo has no %s", name)
		}
	}
	return m, nil
}

// socketMemory reads "TCP: inuse 5 orphan 0 tw 0 alloc 9 mem 3".
func socketMemory(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read socket memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(fields); i += 2 {
			if fields[i] == "mem" {
				pages, err := strconv.ParseInt(fields[i+1], 10, 64)
				return pages * kernelPage, err
			}
		}
	}
	return 0, fmt.Errorf("read socket memory: %s has no TCP: … mem", path)
}

// GB writes bytes in GB (10⁹ bytes).
func GB(bytes int64) string { return fmt.Sprintf("%.2f GB", float64(bytes)/1e9) }
