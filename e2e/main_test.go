package e2e

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/imtier/imtier/e2e/internal/proc"
)

// bin are the programs under test, built once.
var bin proc.Binaries

// sideBySide is how many installations run at once: they mostly wait, so there may be more of them than processors.
const sideBySide = "4"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if err := flag.Set("test.parallel", sideBySide); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "imtier-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // a folder left in /tmp is no failure
	var flags []string
	if os.Getenv("RIG_RACE") != "" {
		flags = append(flags, "-race")
	}
	if bin, err = proc.Build(dir, flags...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
