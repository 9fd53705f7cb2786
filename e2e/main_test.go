package e2e

import (
	"fmt"
	"os"
	"testing"

	"github.com/imtier/imtier/e2e/internal/proc"
)

// bin are the programs under test, built once.
var bin proc.Binaries

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "imtier-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if bin, err = proc.Build(dir, os.Getenv("RIG_RACE") != ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
