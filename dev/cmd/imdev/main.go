// Command imdev runs webapi, imserver and an embedded Redis in one process, to try imtier out.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"github.com/imtier/imtier/dev"
	"github.com/imtier/imtier/internal/logging"
	"github.com/imtier/imtier/internal/settings"
)

// Exit codes.
const (
	exitFailed      = 1
	exitBadSettings = 2
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var cfg dev.Config
	set := settings.New("imdev")
	cfg.Register(set)
	err := set.Parse(os.Args[1:], os.Environ())
	switch {
	case errors.Is(err, settings.ErrHelp):
		_ = set.Usage(os.Stdout) // nobody to tell
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return exitBadSettings
	}
	log, err := logging.New(os.Stderr, cfg.LogLevel)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitBadSettings
	}
	defer func() { _ = log.Sync() }() // a terminal cannot be synced
	if err := dev.Run(ctx, cfg, log, os.Stdout); err != nil {
		log.Error("imdev ended", zap.Error(err))
		return exitFailed
	}
	return 0
}
