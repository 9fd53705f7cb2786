package procs

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Server is an imserver or a webapi.
type Server struct {
	*process
	Addr  string // public listener
	Admin string // admin listener
	URL   string // what the program says its public URL is; imserver only
}

// logLine is what is read of a program's log.
type logLine struct {
	Msg   string `json:"msg"`
	Addr  string `json:"addr"`
	Admin string `json:"admin_addr"` // webapi
	URL   string `json:"url"`
}

// StartServer runs a built program with settings (NAME=value) and returns when it says that it is ready. It listens
// on free ports of the loopback interface.
func StartServer(ctx context.Context, program Program, settings ...string) (*Server, error) {
	path := program.Path
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("the program to measure: %w (make build)", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	defer w.Close()
	cmd := program.command(append([]string{"IM_LISTEN=127.0.0.1:0", "IM_ADMIN_LISTEN=127.0.0.1:0", "IM_LOG_LEVEL=info"}, settings...))
	cmd.Stderr = w
	p, err := start(ctx, path, cmd)
	if err != nil {
		r.Close()
		return nil, err
	}
	s := &Server{process: p}
	log := &tail{}
	ready := make(chan struct{})
	go func() {
		defer r.Close()
		s.follow(r, log, ready)
	}()
	select {
	case <-ready:
		return s, nil
	case <-time.After(startTimeout):
		err = fmt.Errorf("it did not get ready within %v", startTimeout)
	case <-p.done:
		err = fmt.Errorf("it ended, exit code %d", p.cmd.ProcessState.ExitCode())
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.Kill()
	return nil, fmt.Errorf("start %s: %w\n%s", path, err, log)
}

// follow reads the log to its end; it learns the addresses until the program is ready.
func (s *Server) follow(r io.Reader, log io.Writer, ready chan<- struct{}) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		_, _ = log.Write(append(lines.Bytes(), '\n')) // into memory
		var l logLine
		if ready == nil || json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		switch l.Msg {
		case "admin listener":
			s.Admin = l.Addr
		case "listening":
			s.Admin = l.Admin
		case "ready":
			s.Addr, s.URL = l.Addr, l.URL
			close(ready)
			ready = nil
		}
	}
}

// State is what is read of an imserver's /state.
type State struct {
	Goroutines  int    `json:"goroutines"`
	HeapBytes   uint64 `json:"heapBytes"`
	Connections int    `json:"connections"`
	Clients     int    `json:"clients"`
	QueueBytes  int    `json:"queueBytes"`
	CatchingUp  int    `json:"catchingUp"`
}

// State asks the admin listener.
func (s *Server) State(ctx context.Context) (State, error) {
	var st State
	body, err := s.admin(ctx, "/state")
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(body, &st); err != nil {
		return st, fmt.Errorf("read /state: %w", err)
	}
	return st, nil
}

// Profile stores one of the program's profiles, such as heap or goroutine, in a file.
func (s *Server) Profile(ctx context.Context, name, file string) error {
	body, err := s.admin(ctx, "/debug/pprof/"+name)
	if err != nil {
		return err
	}
	return os.WriteFile(file, body, 0o644)
}

func (s *Server) admin(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Admin+path, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true // no idle connection that counts as a goroutine
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the admin listener: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", path, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
