package measure

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

const (
	// tick is the unit of /proc/<pid>/stat: USER_HZ, which is 100 on every Linux.
	tick = 10 * time.Millisecond
	// Fields of /proc/<pid>/stat behind the program's name.
	utimeField, stimeField = 11, 12
)

// CPU returns the processor time that a process has used, of its own and in the kernel. Unlike the time on the
// clock it does not depend on what else the machine does.
func CPU(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	// The name is in brackets and may hold spaces and brackets itself.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= stimeField {
		return 0, fmt.Errorf("read processor time: %s has %d fields", path, len(fields))
	}
	user, err1 := strconv.ParseInt(string(fields[utimeField]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[stimeField]), 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("read processor time: %s is not as expected", path)
	}
	return time.Duration(user+system) * tick, nil
}
