package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/imtier/imtier/bench/internal/measure"
)

// Machine is what bounds connections. A limit that does not exist is Unlimited.
type Machine struct {
	Memory    int64 // bytes that can still be had
	Files     int   // descriptors of one process
	AllFiles  int   // descriptors of all processes that can still be had
	Ports     int   // source ports of one address
	Tracked   int   // connections that the firewall can still remember
	Watches   int   // descriptors in epoll sets, of one user
	Processes int   // processes and threads that can still be had
	Buffers   int64 // bytes that all TCP sockets may hold together; the greatest number if not known
	Places    int   // in the table in which the kernel finds a packet's connection; Unlimited if not known
}

// Unlimited stands for a limit that does not exist.
const Unlimited = math.MaxInt32

// Read looks at the machine.
func Read() (Machine, error) {
	mem, err := measure.ReadSystem()
	if err != nil {
		return Machine{}, err
	}
	m := Machine{Memory: min(mem.Available, groupMemory("/sys/fs/cgroup", "/proc/self/cgroup"))}
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return m, fmt.Errorf("read the limit of open files: %w", err)
	}
	m.Files = int(min(lim.Max, Unlimited)) // Go raises the soft limit by itself
	if m.Ports, err = Ports(); err != nil {
		return m, err
	}
	if m.Buffers, err = socketMemory("/proc/sys/net/ipv4/tcp_mem"); err != nil {
		return m, err
	}
	if m.Places, err = places("/proc/sys/net/ipv4/tcp_ehash_entries"); err != nil {
		return m, err
	}
	if m.AllFiles, err = allFiles(); err != nil {
		return m, err
	}
	if m.Watches, err = number("/proc/sys/fs/epoll/max_user_watches"); err != nil {
		return m, err
	}
	if m.Processes, err = processes(); err != nil {
		return m, err
	}
	m.Tracked, err = tracked()
	return m, err
}

// socketMemory is what all TCP sockets may hold. In containers and other network namespaces the file is not there: the
// limit, which holds all the same, is not known.
func socketMemory(path string) (int64, error) {
	pages, err := numbers(path, 3)
	if errors.Is(err, fs.ErrNotExist) {
		return math.MaxInt64, nil
	}
	if err != nil {
		return 0, err
	}
	return int64(pages[2]) * int64(os.Getpagesize()), nil
}

// places is how many there are in the table of connections. The number is negative in a network namespace that shares its
// table with others. Kernels before 6.1 do not tell.
func places(path string) (int, error) {
	n, err := number(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Unlimited, nil
	}
	return max(n, -n), err
}

// Ports is how many source ports an address has.
func Ports() (int, error) {
	ports, err := numbers("/proc/sys/net/ipv4/ip_local_port_range", 2)
	if err != nil {
		return 0, err
	}
	return ports[1] - ports[0] + 1, nil
}

// allFiles is what is left of fs.file-max, which does not bind the superuser.
func allFiles() (int, error) {
	if os.Geteuid() == 0 {
		return Unlimited, nil
	}
	n, err := numbers("/proc/sys/fs/file-nr", 3) // allocated, 0, maximum
	if err != nil {
		return 0, err
	}
	return n[2] - n[0], nil
}

// rlimitNproc is RLIMIT_NPROC of <sys/resource.h>, which package syscall leaves out.
const rlimitNproc = 6

// processes is how many processes and threads can be had.
func processes() (int, error) {
	most := Unlimited
	for _, path := range []string{"/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"} {
		n, err := number(path)
		if err != nil {
			return 0, err
		}
		most = min(most, n)
	}
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(rlimitNproc, &lim); err != nil {
		return 0, fmt.Errorf("read the limit of processes: %w", err)
	}
	if os.Geteuid() != 0 { // it does not bind the superuser
		most = int(min(uint64(most), lim.Max))
	}
	return most, nil
}

// tracked tells how many connections the firewall can still remember; it may be there and have nothing to do.
func tracked() (int, error) {
	const dir = "/proc/sys/net/netfilter/"
	limit, err := number(dir + "nf_conntrack_max")
	if errors.Is(err, fs.ErrNotExist) {
		return Unlimited, nil
	}
	if err != nil {
		return 0, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("try a connection: %w", err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("try a connection: %w", err)
	}
	defer c.Close()
	known, err := number(dir + "nf_conntrack_count")
	if err != nil {
		return 0, err
	}
	if known == 0 { // not even that one
		return Unlimited, nil
	}
	return limit - known, nil
}

// groupMemory is what the control group may still use, as containers are bounded; a file that is not there bounds nothing.
func groupMemory(root, self string) int64 {
	text, err := os.ReadFile(self)
	if err != nil {
		return math.MaxInt64
	}
	left := int64(math.MaxInt64)
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		switch {
		case fields[1] == "": // version 2
			left = min(left, room(filepath.Join(root, fields[2]), "memory.max", "memory.current"))
		case fields[1] == "memory":
			left = min(left, room(filepath.Join(root, "memory", fields[2]), "memory.limit_in_bytes", "memory.usage_in_bytes"))
		}
	}
	return left
}

// room is the smallest one of a group and those around it.
func room(dir, limit, used string) int64 {
	left := int64(math.MaxInt64)
	for ; len(dir) > 1; dir = filepath.Dir(dir) {
		most, err1 := number64(filepath.Join(dir, limit))
		now, err2 := number64(filepath.Join(dir, used))
		if err1 == nil && err2 == nil {
			left = min(left, most-now)
		}
	}
	return left
}

func number64(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read a limit: %w", err)
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

func number(path string) (int, error) {
	n, err := number64(path)
	return int(min(n, Unlimited)), err
}

// numbers reads a file of so many numbers.
func numbers(path string, want int) ([]int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a limit: %w", err)
	}
	fields := strings.Fields(string(text))
	if len(fields) != want {
		return nil, fmt.Errorf("read a limit: %s has %d numbers, want %d", path, len(fields), want)
	}
	out := make([]int, want)
	for i, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil { // no limit, written as a number beyond int64
			n = Unlimited
		}
		out[i] = int(min(n, Unlimited))
	}
	return out, nil
}
