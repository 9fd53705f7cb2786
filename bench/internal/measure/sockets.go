package measure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// SocketBytes returns the memory in which the kernel keeps what TCP sockets have sent and not yet read, of all
// processes of the machine.
func SocketBytes() (int64, error) {
	text, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0, fmt.Errorf("read the memory of sockets: %w", err)
	}
	for line := range bytes.Lines(text) {
		words := bytes.Fields(line)
		if len(words) == 0 || string(words[0]) != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(words); i += 2 {
			if string(words[i]) == "mem" {
				pages, err := strconv.ParseInt(string(words[i+1]), 10, 64)
				return pages * int64(os.Getpagesize()), err
			}
		}
	}
	return 0, errors.New("read the memory of sockets: /proc/net/sockstat does not tell")
}
