package measure

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"time"
)

// Machine is what numbers were measured on.
type Machine struct {
	Cores  int    `json:"cores"`
	Memory int64  `json:"memoryBytes"`
	CPU    string `json:"cpu"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Redis  string `json:"redis"`
	Pauses Pauses `json:"pauses"` // before the benchmarks
}

// pausesFor is how long the machine is looked at.
const pausesFor = time.Second

// unknown stands for what could not be found out.
const unknown = "unknown"

// ThisMachine describes the machine that imbench runs on, for which it keeps it busy for a second. What it cannot find
// out is zero or "unknown".
func ThisMachine() Machine {
	memory, _ := field("/proc/meminfo", "MemTotal:") // zero says that it is not known
	return Machine{
		Cores: runtime.NumCPU(), Memory: memory, Go: runtime.Version(),
		CPU:    find("/proc/cpuinfo", `model name\s*: (.*)`),
		Kernel: find("/proc/version", `^Linux version (\S+)`),
		Redis:  redisVersion(),
		Pauses: MeasurePauses(pausesFor),
	}
}

func (m Machine) String() string {
	return fmt.Sprintf("%d cores (%s), %.0f GB, Linux %s, %s, Redis %s\n%s", m.Cores, m.CPU, float64(m.Memory)/1e9, m.Kernel, m.Go, m.Redis, m.Pauses)
}

func find(path, pattern string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return unknown
	}
	return first(text, pattern)
}

func first(text []byte, pattern string) string {
	found := regexp.MustCompile(pattern).FindSubmatch(text)
	if found == nil {
		return unknown
	}
	return string(bytes.TrimSpace(found[1]))
}

func redisVersion() string {
	out, err := exec.Command("redis-server", "--version").Output()
	if err != nil {
		return unknown
	}
	return first(out, `v=(\S+)`)
}
