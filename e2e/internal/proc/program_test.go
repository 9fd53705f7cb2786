package proc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell runs a line of sh.
func shell(t *testing.T, line string) *Program {
	t.Helper()
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("there is no /bin/sh")
	}
	p := New(Options{Name: "shell", Path: "/bin/sh", Args: []string{"-c", line}, Log: filepath.Join(t.TempDir(), "log")})
	t.Cleanup(p.End)
	return p
}

func start(t *testing.T, p *Program) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
}

func TestProgramComesBack(t *testing.T) {
	p := shell(t, "echo here; exec sleep 60")
	start(t, p)
	if err := p.Start(); !errors.Is(err, ErrRunning) {
		t.Errorf("a second start: %v", err)
	}
	first := p.PID()
	p.Kill()
	if p.Running() || p.PID() != 0 {
		t.Error("it runs after Kill")
	}
	if code, err := p.Wait(t.Context()); code != -1 || err != nil {
		t.Errorf("killed: exit code %d, %v", code, err)
	}
	start(t, p)
	if p.PID() == first || !p.Running() {
		t.Error("it did not come back")
	}
	p.Pause()
	if !p.Running() {
		t.Error("a frozen program is not gone")
	}
	p.End()
	if p.Running() {
		t.Error("it runs after End")
	}
}

func TestStopReturnsTheExitCode(t *testing.T) {
	p := shell(t, "trap 'exit 3' TERM; echo ready; while :; do sleep 0.02; done")
	start(t, p)
	for !strings.Contains(p.Output(), "ready") {
		<-time.After(5 * time.Millisecond)
	}
	if code, _, err := p.Stop(t.Context()); code != 3 || err != nil {
		t.Errorf("exit code %d, %v; want 3", code, err)
	}
}

func TestErrTellsOfEndsThatNobodyAskedFor(t *testing.T) {
	const obeys = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done"
	for _, tt := range []struct {
		name, line string
		end        func(*Program) // when it has written ready
		want       string
	}{
		{"it stops", obeys, func(p *Program) { p.End() }, ""},
		{"it is killed", obeys, func(p *Program) { p.Kill() }, ""},
		{"it is killed while it is frozen", obeys, func(p *Program) { p.Pause(); p.Kill() }, ""},
		{"it is still there", obeys, func(*Program) {}, ""},
		{"it ends", "echo ready", func(p *Program) { <-p.Ended() }, "ended by itself"},
		{"it crashes", "echo ready; exit 2", func(p *Program) { <-p.Ended() }, "ended by itself"},
		{"it has crashed when it is killed", "echo ready; exit 2", func(p *Program) { <-p.Ended(); p.Kill() }, "ended by itself"},
		{"somebody else kills it", "echo ready; kill -KILL $$", func(p *Program) { <-p.Ended() }, "ended by itself"},
		{"it stops with an error", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.02; done", func(p *Program) { p.End() }, "asked to stop"},
		{"it crashes instead of stopping", "trap 'kill -ABRT $$' TERM; echo ready; while :; do sleep 0.02; done", func(p *Program) { p.End() }, "asked to stop"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := shell(t, tt.line)
			start(t, p)
			for !strings.Contains(p.Output(), "ready") {
				<-time.After(5 * time.Millisecond)
			}
			tt.end(p)
			if err := p.Err(); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if !p.Running() && p.Start() == nil {
				p.Kill()
				if err := p.Err(); tt.want != "" && err == nil {
					t.Error("it is forgotten after another run")
				}
			}
		})
	}
}
