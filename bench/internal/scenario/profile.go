package scenario

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/imtier/imtier/bench/internal/procs"
)

// profileFolder makes the folder for profiles, unless there is none.
func profileFolder(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder for profiles: %w", err)
	}
	return nil
}

// profile records what a server does from now on for d, into file unless that is empty. The function returned waits for
// the end.
func profile(ctx context.Context, srv *procs.Server, file string, d time.Duration) (wait func() error) {
	if file == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		done <- srv.Profile(ctx, fmt.Sprintf("profile?seconds=%d", int(d.Seconds())), file)
	}()
	return func() error { return <-done }
}
