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
func ReadRedisInfo(redisURL string) (info RedisInfo, err error) {
	err = askRedis(redisURL, "INFO everything", func(r *bufio.Reader) (err error) {
		info, err = readInfo(r)
		return err
	})
	return info, err
}

// CutSubscriptions breaks the connections of everybody who follows a channel. It returns when that has happened.
func CutSubscriptions(redisURL string) error {
	return askRedis(redisURL, "CLIENT KILL TYPE pubsub", func(r *bufio.Reader) error {
		line, err := r.ReadString('\n')
		if err == nil && !strings.HasPrefix(line, ":") {
			err = fmt.Errorf("CLIENT KILL is answered by %q", line)
		}
		return err
	})
}

// askRedis sends one command to a Redis without a password and has its answer read.
func askRedis(redisURL, command string, answer func(*bufio.Reader) error) error {
	u, err := url.Parse(redisURL)
	if err != nil {
		return fmt.Errorf("ask redis: %w", err)
	}
	c, err := net.DialTimeout("tcp", u.Host, startTimeout)
	if err != nil {
		return fmt.Errorf("ask redis: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return fmt.Errorf("ask redis: %w", err)
	}
	if _, err := io.WriteString(c, command+"\r\n"); err != nil {
		return fmt.Errorf("ask redis: %w", err)
	}
	if err := answer(bufio.NewReader(c)); err != nil {
		return fmt.Errorf("ask redis: %w", err)
	}
	return nil
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
