package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/bench/internal/scenario"
)

// TestMain lets the test's own file be imbench's workers.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains(roles(), os.Args[1]) {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// build returns the path of a program of this repository.
func build(t *testing.T, module string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), module)
	cmd := exec.Command("go", "build", "-o", path, "./cmd/"+module)
	cmd.Dir = filepath.Join("..", "..", "..", module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", module, err, out)
	}
	return path
}

// bench runs a benchmark with its flags and returns what it printed.
func bench(t *testing.T, b benchmark, args ...string) (string, error) {
	t.Helper()
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	if err := b.Register(fs); err != nil {
		t.Fatal(err)
	}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	err := b.Run(ctx, &out)
	t.Logf("%T: %v\n%s", b, err, out.String())
	return out.String(), err
}

func TestIdleAndFanoutMeasureRealProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	imserver := "-imserver=" + build(t, "imserver")

	out, err := bench(t, &scenario.Idle{}, imserver, "-n=50", "-ping-interval=1s", "-quiet=200ms", "-max-bytes=100000000")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"connections", "online in Redis", "goroutines"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table has no %q", want)
		}
	}

	_, err = bench(t, &scenario.Fanout{}, imserver, "-members=50", "-rounds=3", "-v1=50", "-max-ratio=1000")
	if err != nil {
		t.Fatal(err)
	}
	// A limit that cannot be kept must be noticed.
	if _, err = bench(t, &scenario.Fanout{}, imserver, "-members=50", "-rounds=3", "-max-ratio=0.001"); !errors.Is(err, scenario.ErrOver) {
		t.Errorf("over the limit: %v", err)
	}
}

func TestUnknownBenchmarkIsRefused(t *testing.T) {
	if got := run([]string{"idel"}); got != exitBadUsage {
		t.Errorf("exit code %d, want %d", got, exitBadUsage)
	}
	if got := run([]string{"idle", "-frobnicate"}); got != exitBadUsage {
		t.Errorf("exit code %d, want %d", got, exitBadUsage)
	}
}
