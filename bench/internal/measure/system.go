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
	s.Sockets, err = SocketBytes()
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

// GB writes bytes in GB (10⁹ bytes).
func GB(bytes int64) string { return fmt.Sprintf("%.2f GB", float64(bytes)/1e9) }
