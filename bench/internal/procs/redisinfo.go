package procs

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// RedisInfo is what Redis has done so far, from its INFO.
type RedisInfo struct {
	Commands int64            // also those that scripts called
	ByName   map[string]int64 // calls of each command
	Memory   int64            // bytes in use
}

// ReadRedisInfo asks a Redis without a password, redis://host:port.
func ReadRedisInfo(redisURL string) (RedisInfo, error) {
	u, err := url.Parse(redisURL)
	if err != nil {
		return RedisInfo{}, fmt.Errorf("ask redis: %w", err)
	}
	c, err := net.DialTimeout("tcp", u.Host, startTimeout)
	if err != nil {
		return RedisInfo{}, fmt.Errorf("ask redis: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return RedisInfo{}, fmt.Errorf("ask redis: %w", err)
	}
	if _, err := io.WriteString(c, "INFO everything\r\n"); err != nil {
		return RedisInfo{}, fmt.Errorf("ask redis: %w", err)
	}
	info, err := readInfo(bufio.NewReader(c))
	if err != nil {
		return RedisInfo{}, fmt.Errorf("ask redis: %w", err)
	}
	return info, nil
}

// readInfo reads the answer: "$<length>", then that many bytes.
func readInfo(r *bufio.Reader) (RedisInfo, error) {
	head, err := r.ReadString('\n')
	if err != nil {
		return RedisInfo{}, err
	}
	size, is := strings.CutPrefix(strings.TrimSpace(head), "$")
	n, err := strconv.Atoi(size)
	if !is || err != nil || n < 0 || n > 1<<20 {
		return RedisInfo{}, fmt.Errorf("INFO is answered by %q", head)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return RedisInfo{}, err
	}
	return parseInfo(string(text)), nil
}

func parseInfo(text string) RedisInfo {
	info := RedisInfo{ByName: make(map[string]int64)}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		number := func(s string) int64 {
			n, _ := strconv.ParseInt(s, 10, 64) // zero: Redis writes numbers here
			return n
		}
		command, isCommand := strings.CutPrefix(name, "cmdstat_")
		switch {
		case name == "total_commands_processed":
			info.Commands = number(value)
		case name == "used_memory":
			info.Memory = number(value)
		case isCommand: // calls=1,usec=2,…
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			info.ByName[command] = number(calls)
		}
	}
	return info
}
