package timerslack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const role = "TIMERSLACK_TEST_CHILD"

// TestMain is also a program that widens its slack and tells what it is then.
func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		os.Exit(m.Run())
	}
	if err := tell(os.Stdout); err != nil {
		panic(err)
	}
}

// tell writes who the process is with its slack, and the slack of each thread.
func tell(w io.Writer) error {
	if err := Widen(); err != nil {
		return err
	}
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(threads) < 2 {
		return fmt.Errorf("threads: %v, %w", threads, err)
	}
	out := fmt.Appendln(nil, os.Getpid(), strings.Join(os.Args[1:], " "))
	for _, t := range threads {
		ns, err := os.ReadFile("/proc/" + filepath.Base(t) + "/timerslack_ns")
		if errors.Is(err, fs.ErrPermission) { // of another thread
			ns = []byte("unknown\n")
		}
		out = append(out, ns...)
	}
	_, err = w.Write(out)
	return err
}

// The process goes on as itself, and all its threads have the slack: also the runtime's own, which was there first.
func TestWiden(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(exe, "one", "two words")
	cmd.Env = append(os.Environ(), role+"=1")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if want := fmt.Sprint(cmd.Process.Pid, " one two words"); lines[0] != want {
		t.Errorf("went on as %q, want %q", lines[0], want)
	}
	known := 0
	for _, ns := range lines[1:] {
		switch ns {
		case fmt.Sprint(slack.Nanoseconds()):
			known++
		case "unknown":
		default:
			t.Errorf("a thread has a slack of %s ns, want %d", ns, slack)
		}
	}
	if known == 0 {
		t.Errorf("no thread has the slack: %q", lines)
	}
	if known < len(lines)-1 {
		t.Log("only this thread's slack may be read here; the others' would need CAP_SYS_NICE")
	}
}
