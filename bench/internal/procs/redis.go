package procs

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	redisPoll     = 10 * time.Millisecond
	redisAttempts = 5 // a free port may be taken by another process before the server binds it
)

// accepting is what the server logs when its port is its own and its data is read.
const accepting = "Ready to accept connections"

// Redis is a redis-server. It keeps nothing on disk, so that a slow disk does not show in the numbers, or, if told to,
// what operators are advised to have it keep: its append-only file, with an fsync every second.
type Redis struct {
	*process
	URL string
	dir string
}

// StartRedis runs a redis-server, with its append-only file if aof is set, and returns when it takes commands.
func StartRedis(ctx context.Context, aof bool) (*Redis, error) {
	var err error
	for range redisAttempts {
		var r *Redis
		if r, err = startRedis(ctx, aof); err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

func startRedis(ctx context.Context, aof bool) (*Redis, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return startRedisAt(ctx, addr, aof)
}

func startRedisAt(ctx context.Context, addr string, aof bool) (*Redis, error) {
	dir, err := os.MkdirTemp("", "imbench-redis-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for redis: %w", err)
	}
	_, port, _ := net.SplitHostPort(addr) // an address of the kernel's
	log := &tail{}
	keeps := map[bool]string{false: "no", true: "yes"}[aof]
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", keeps, "--appendfsync", "everysec", "--daemonize", "no")
	cmd.Stdout, cmd.Stderr = log, log
	p, err := start(ctx, "redis-server", cmd)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	r := &Redis{process: p, URL: "redis://" + addr, dir: dir}
	if err := r.await(ctx, log); err != nil {
		r.Stop()
		return nil, fmt.Errorf("%w\n%s", err, log)
	}
	return r, nil
}

// await returns when the server says that it takes commands. Another one on its port would answer as well.
func (r *Redis) await(ctx context.Context, log fmt.Stringer) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(redisPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis-server for %s does not get ready: %w", r.URL, ctx.Err())
		case <-r.done:
			return fmt.Errorf("redis-server ended: %w", r.err)
		case <-tick.C:
			if strings.Contains(log.String(), accepting) {
				return nil
			}
		}
	}
}

// Stop ends the server; its folder goes too.
func (r *Redis) Stop() {
	// Nothing has to be saved. The group: it may have a child that rewrites the append-only file, and outlives it.
	_ = syscall.Kill(-r.PID(), syscall.SIGKILL)
	r.Kill()
	_ = os.RemoveAll(r.dir)
}

// freeAddr asks the kernel for a port that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
