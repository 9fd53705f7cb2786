package procs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// startTimeout bounds how long a program may take to answer, on a busy machine.
	startTimeout = 20 * time.Second
	// stopTimeout is how long a program may take to end in order; then it is killed.
	stopTimeout = 3 * time.Second
	// keptLog is how many bytes of a program's last output are kept, to explain why it failed.
	keptLog = 8 << 10
)

// Program is what to start, and how.
type Program struct {
	Path string
	Nice int // 1 to 19: lets programs with less go first, see nice(1)
	// Procs is how many processors a Go program uses at a time, its GOMAXPROCS; 0: all.
	Procs int
}

// command runs it with arguments and with an environment of env, and what this asks for.
func (p Program) command(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(p.Path, args...)
	if p.Nice > 0 { // nice becomes the program, under the same process id
		cmd = exec.Command("nice", append([]string{"-n", strconv.Itoa(p.Nice), p.Path}, args...)...)
	}
	cmd.Env = env
	if p.Procs > 0 {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(p.Procs))
	}
	return cmd
}

// process is one child.
type process struct {
	cmd  *exec.Cmd
	name string
	done chan struct{} // closed when it has ended
	err  error         // how; after done
}

// start runs a command whose life is tied to ctx and to this process.
func start(ctx context.Context, name string, cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // a Ctrl-C is for imbench, which then stops the others in order
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{cmd: cmd, name: name, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() }) // it may have ended already
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
		stop()
	}()
	return p, nil
}

// PID is the process's id.
func (p *process) PID() int { return p.cmd.Process.Pid }

// Stop ends the process and waits for it.
func (p *process) Stop() {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended already
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		p.Kill()
	}
}

// Kill ends the process at once and waits for it.
func (p *process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.done
}

// tail keeps the end of what a program wrote.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - keptLog; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}
