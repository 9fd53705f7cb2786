// Package redistest runs Redis for tests: a real redis-server as a child process, or the embedded miniredis.
//
//	s := redistest.Start(t)            // a server of its own, gone when the test ends
//	st, err := store.Open(ctx, store.Options{URL: s.URL()})
//	s.Kill(); s.Restart()              // kill -9, and back on the same port with what the disk holds
package redistest

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

const (
	startTimeout = 15 * time.Second // for a server to answer PING, on a busy machine
	dialTimeout  = 5 * time.Second  // for a connection, on a busy machine
	portAttempts = 5                // a free port may be taken by another process before the server binds it

	// Ports below those from which connections get theirs: one of these would find the port of a server that is down.
	lowestPort = 10_000
	ports      = 20_000
)

// accepting is what the server logs when its port is its own and its data is read.
const accepting = "Ready to accept connections"

// Server is a redis-server that belongs to one test.
type Server struct {
	Addr string // host:port

	t     testing.TB
	dir   string
	args  []string
	fixed bool // Addr was given
	kept  bool // it does not end with the test

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has been waited for
}

// Option changes how the server is started.
type Option func(*Server)

// AOF makes the server keep an append-only file, flushed once a second. Without it nothing survives a restart.
func AOF() Option { return Args("--appendonly", "yes", "--appendfsync", "everysec") }

// Args adds arguments to the command line, for example Args("--maxmemory", "10mb").
func Args(args ...string) Option {
	return func(s *Server) { s.args = append(s.args, args...) }
}

// Dir uses a folder of the caller's instead of a temporary one.
func Dir(dir string) Option { return func(s *Server) { s.dir = dir } }

// At runs the server on an address of the caller's.
func At(addr string) Option {
	return func(s *Server) { s.Addr, s.fixed = addr, true }
}

// kept leaves the server running when the test ends.
func kept() Option { return func(s *Server) { s.kept = true } }

// Start runs a redis-server on a free port of the loopback interface, with its data in a temporary folder, and
// stops it when the test ends. It fails the test when there is no redis-server.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is not in PATH; these tests run on a real one: install it, for example with " +
			"`apt-get install redis-server`, or run `make test`, which does")
	}
	s := &Server{t: t}
	for _, o := range opts {
		o(s)
	}
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	if !s.kept {
		t.Cleanup(s.Stop)
	}
	var err error
	for range portAttempts {
		if !s.fixed {
			s.Addr = freeAddr(t)
		}
		if err = s.start(); err == nil {
			return s
		}
	}
	t.Fatalf("start redis-server: %v", err)
	return nil
}

// URL is the server's address as store.Options wants it.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Port is the port of Addr.
func (s *Server) Port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

// DataDir is where the server keeps what it writes to disk.
func (s *Server) DataDir() string { return s.dir }

// Stop ends the server in order (SIGTERM: it saves what it is configured to save) and waits for it.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server at once (SIGKILL) and waits for it.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Pause freezes the process (SIGSTOP): connections stay open and nothing answers.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// Restart runs the server again, on the same port and folder, after Stop or Kill, and waits until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	s.end(syscall.SIGKILL)
	var err error
	for range portAttempts {
		if err = s.start(); err == nil {
			return
		}
	}
	s.t.Fatalf("restart redis-server: %v", err)
}

// Do sends one command on a connection of its own and returns the first line of the answer, for CONFIG SET,
// REPLICAOF, CLIENT KILL and the like.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	answer, err := roundTrip(s.Addr, args...)
	if err != nil {
		s.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return answer
}

// KeepNode makes the lease of a registered node last, fresh, as long as the server: for a test that has no imserver to
// renew it, and may take longer than a lease on a busy machine.
func (s *Server) KeepNode(id string) {
	s.t.Helper()
	s.Do("HSET", "im:node:"+id, "renewed", "99999999999999") // milliseconds: centuries ahead
	s.Do("PERSIST", "im:node:"+id)
}

func (s *Server) start() error {
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	args := append([]string{
		"--port", port, "--bind", host, "--dir", s.dir, "--save", "", "--daemonize", "no",
		"--logfile", filepath.Join(s.dir, "redis.log"),
	}, s.args...)
	cmd := exec.Command("redis-server", args...)
	cmd.SysProcAttr = childAttr()
	logged := len(s.log())
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is the test's doing
	}()
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()

	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(startTimeout)
	for {
		// Another server would answer as well, if it was quicker to take the port.
		if strings.Contains(s.log()[logged:], accepting) {
			if answer, err := roundTrip(s.Addr, "PING"); err == nil && ready(answer) {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-done:
			return fmt.Errorf("it ended at once:\n%s", s.log())
		case <-deadline:
			s.end(syscall.SIGKILL)
			return fmt.Errorf("no answer to PING within %v:\n%s", startTimeout, s.log())
		}
	}
}

// ready tells from the answer to PING whether the server takes commands: one with a password asks for it.
func ready(answer string) bool { return answer == "+PONG" || strings.HasPrefix(answer, "-NOAUTH") }

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended already
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	select {
	case <-s.done:
	case <-time.After(startTimeout):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		s.t.Fatalf("%v: the redis-server is not running", sig)
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("%v: %v", sig, err)
	}
}

// Running tells whether the process is there, frozen or not.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd != nil
}

func (s *Server) log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "redis.log"))
	return string(b)
}

// freeAddr finds a port that nobody listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	var last error
	for range 100 {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(lowestPort+rand.IntN(ports))))
		if err == nil {
			l.Close()
			return l.Addr().String()
		}
		last = err
	}
	t.Fatal(last)
	return ""
}

// roundTrip sends a command and returns the first line of the answer; of a bulk string, the string.
func roundTrip(addr string, args ...string) (answer string, err error) {
	err = ask(addr, args, func(r *bufio.Reader) error {
		answer, err = readAnswer(r)
		return err
	})
	return answer, err
}

// List sends one command that is answered by an array of strings, as Do does.
func (s *Server) List(args ...string) []string {
	s.t.Helper()
	var list []string
	err := ask(s.Addr, args, func(r *bufio.Reader) error {
		head, err := readAnswer(r)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(strings.TrimPrefix(head, "*"))
		if err != nil {
			return fmt.Errorf("%v: %s", args, head)
		}
		for range n {
			s, err := readAnswer(r)
			if err != nil {
				return err
			}
			list = append(list, s)
		}
		return nil
	})
	if err != nil {
		s.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return list
}

// ask sends a command on a connection of its own and has the answer read.
func ask(addr string, args []string, read func(*bufio.Reader) error) error {
	c, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := c.Write([]byte(b.String())); err != nil {
		return err
	}
	return read(bufio.NewReader(c))
}

// readAnswer reads a line, or a bulk string.
func readAnswer(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if n, err := strconv.Atoi(strings.TrimPrefix(line, "$")); err == nil && line[0] == '$' && n >= 0 {
		body := make([]byte, n+2)
		if _, err := io.ReadFull(r, body); err != nil {
			return "", err
		}
		return string(body[:n]), nil
	}
	return line, nil
}

// Embedded starts a miniredis whose keys expire by the wall clock, and returns its URL. It ends with the test.
func Embedded(t testing.TB) string {
	t.Helper()
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		t.Fatalf("start miniredis: %v", err)
	}
	m.ClockTTL(true)
	t.Cleanup(m.Close)
	return "redis://" + m.Addr()
}
