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
