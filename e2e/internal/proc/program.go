package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// stopTimeout is how long End and Stop wait for a program that was asked to stop, on a busy machine.
const stopTimeout = 45 * time.Second

// Options say what to run.
type Options struct {
	Name  string   // for messages and the log's name
	Path  string   // the program's file
	Args  []string // after the name
	Env   []string // NAME=value; nothing else is inherited
	Admin string   // address of the admin listener
	Log   string   // file that gets its standard error, appended to at each start
}

// Program is one program that may be started many times. It is safe for concurrent use.
type Program struct {
	Options

	mu    sync.Mutex
	cmd   *exec.Cmd
	done  chan struct{} // closed when cmd has ended
	asked order         // of cmd
	wrong []error       // with how it ended, over all its runs
}

// order is what a program was asked to do.
type order int

const (
	goOn order = iota
	stop       // end in order
	die        // end at once
)

// New makes a program; nothing runs yet.
func New(o Options) *Program { return &Program{Options: o} }

// ErrRunning is returned by Start while the program runs.
var ErrRunning = errors.New("it is running")

// Start runs the program and returns at once.
func (p *Program) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("start %s: %w", p.Name, ErrRunning)
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Env = p.Env
	cmd.Stderr, cmd.Stdout = log, log
	cmd.SysProcAttr = childAttr()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is in its ProcessState
		p.ended(cmd)
	}()
	p.cmd, p.done, p.asked = cmd, done, goOn
	return nil
}

// ended judges how a run came to its end.
func (p *Program) ended(cmd *exec.Cmd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	how := cmd.ProcessState
	status, _ := how.Sys().(syscall.WaitStatus)
	killed := status.Signaled() && status.Signal() == syscall.SIGKILL
	switch {
	case p.asked == goOn, p.asked == die && !killed && how.ExitCode() != 0: // before it was killed
		p.wrong = append(p.wrong, fmt.Errorf("%s ended by itself: %v", p.Name, how))
	case p.asked == stop && how.ExitCode() != 0:
		p.wrong = append(p.wrong, fmt.Errorf("%s was asked to stop, and ended with %v", p.Name, how))
	}
}

// Err is what was wrong with how the program has ended, over all its runs: nobody had asked for it, or it was asked to stop and
// ended otherwise than with exit code 0, or not in time.
func (p *Program) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.wrong...)
}

// running tells whether a process exists. The caller holds mu.
func (p *Program) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Running tells whether a process exists, frozen or not.
func (p *Program) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

// PID is the process's id, 0 when there is none.
func (p *Program) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return 0
	}
	return p.cmd.Process.Pid
}

// Signal sends a signal; to a program that does not run it does nothing.
func (p *Program) Signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return
	}
	_ = p.cmd.Process.Signal(sig) // it may have ended already, which is noticed where it is waited for
	switch sig {
	case syscall.SIGKILL:
		p.asked = die
	case syscall.SIGTERM, syscall.SIGINT:
		p.asked = stop
	}
}

// Kill ends the program at once (SIGKILL) and waits until it is gone.
func (p *Program) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.Ended()
}

// Pause freezes the program (SIGSTOP): connections stay open, nothing answers. Resume ends it.
func (p *Program) Pause() { p.Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Program) Resume() { p.Signal(syscall.SIGCONT) }

// Ended is closed when the program that runs now has ended; at once when none runs.
func (p *Program) Ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		gone := make(chan struct{})
		close(gone)
		return gone
	}
	return p.done
}

// Stop asks the program to end (SIGTERM), waits, and returns its exit code and how long it took.
func (p *Program) Stop(ctx context.Context) (code int, took time.Duration, err error) {
	begin := time.Now()
	p.Signal(syscall.SIGTERM)
	code, err = p.Wait(ctx)
	return code, time.Since(begin), err
}

// Wait waits for the program's end and returns its exit code, -1 if a signal ended it.
func (p *Program) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.Ended():
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the end of %s: %w", p.Name, ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0, fmt.Errorf("%s was never started", p.Name)
	}
	return p.cmd.ProcessState.ExitCode(), nil
}

// End stops the program in order, or kills it when that takes too long.
func (p *Program) End() {
	p.Resume()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if _, _, err := p.Stop(ctx); err != nil {
		p.mu.Lock()
		p.wrong = append(p.wrong, fmt.Errorf("%s did not stop within %v", p.Name, stopTimeout))
		p.mu.Unlock()
		p.Kill()
	}
}

// Output is everything the program has written so far, over all its runs.
func (p *Program) Output() string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return ""
	}
	return string(b)
}
