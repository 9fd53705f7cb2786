package measure

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// kernelPage is the unit of /proc/net/sockstat.
var kernelPage = int64(os.Getpagesize())

// SocketBytes returns the memory in which the kernel keeps what TCP sockets have sent and not yet read, of all
// processes of the machine.
func SocketBytes() (int64, error) { return socketMemory("/proc/net/sockstat") }

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
