// Command webapi is the HTTP face of an imtier installation.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"go.uber.org/zap"

	"github.com/imtier/imtier/internal/admin"
	"github.com/imtier/imtier/internal/logging"
	"github.com/imtier/imtier/internal/settings"
	"github.com/imtier/imtier/webapi"
)

// Exit codes.
const (
	exitFailed      = 1
	exitBadSettings = 2
)

// gcPercent is the heap's growth between collections unless GOGC says otherwise. What lives is a few megabytes, and
// each request makes garbage: collecting four times less often costs little memory.
const gcPercent = 400

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		return healthcheck(ctx, os.Args[2:])
	}
	var cfg webapi.Config
	set := settings.New("webapi")
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
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	srv, err := webapi.New(cfg, log)
	if err == nil {
		err = srv.Run(ctx)
	}
	if err != nil {
		log.Error("webapi ended", zap.Error(err))
		return exitFailed
	}
	return 0
}

// healthcheck asks a running webapi whether it is ready; for containers, which have no curl.
func healthcheck(ctx context.Context, args []string) int {
	var addr string
	set := settings.New("webapi")
	webapi.RegisterAdmin(set, &addr)
	if err := set.Parse(args, os.Environ()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitBadSettings
	}
	if err := admin.Check(ctx, addr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return 0
}
