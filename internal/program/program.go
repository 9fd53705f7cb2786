// Package program is what every command of imtier does around its work: settings, signals, the log and the exit code.
//
//	main → Program.Main ─ settings.Parse ─ logging.New ─ Run until a signal
//	                    └ healthcheck: asks the running program's admin listener
package program

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
	"github.com/imtier/imtier/internal/timerslack"
)

// Exit codes.
const (
	exitFailed      = 1
	exitBadSettings = 2
)

// Program is one command. Name, Register, LogLevel and Run are required.
type Program struct {
	Name     string              // under which its settings are known
	Register func(*settings.Set) // puts its settings into the set
	LogLevel *string             // filled in by the settings
	Run      func(ctx context.Context, log *zap.Logger) error

	// RegisterAdmin puts the address of its admin listener into the set: the command then knows "healthcheck", for
	// containers, which have no curl. Nil: it does not.
	RegisterAdmin func(s *settings.Set, addr *string)
	// GCPercent is the heap's growth between collections unless GOGC says otherwise; zero leaves Go's default.
	GCPercent int
}

// Main runs the command until it ends or SIGINT or SIGTERM comes, and returns its exit code.
func (p Program) Main() int {
	slack := timerslack.Widen() // first of all: it may start the program over
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if p.RegisterAdmin != nil && len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		return p.healthcheck(ctx, os.Args[2:])
	}
	set := settings.New(p.Name)
	p.Register(set)
	err := set.Parse(os.Args[1:], os.Environ())
	if errors.Is(err, settings.ErrHelp) {
		_ = set.Usage(os.Stdout) // nobody to tell
		return 0
	}
	if err != nil {
		return badSettings(err)
	}
	log, err := logging.New(os.Stderr, *p.LogLevel)
	if err != nil {
		return badSettings(err)
	}
	defer func() { _ = log.Sync() }() // a terminal cannot be synced
	if slack != nil {
		log.Debug("wakes up more often than it has to", zap.Error(slack))
	}
	if p.GCPercent != 0 && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(p.GCPercent)
	}
	if err := p.Run(ctx, log); err != nil {
		log.Error(p.Name+" ended", zap.Error(err))
		return exitFailed
	}
	return 0
}

func badSettings(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return exitBadSettings
}

// healthcheck asks the running program whether it is ready.
func (p Program) healthcheck(ctx context.Context, args []string) int {
	var addr string
	set := settings.New(p.Name)
	p.RegisterAdmin(set, &addr)
	if err := set.Parse(args, os.Environ()); err != nil {
		return badSettings(err)
	}
	if err := admin.Check(ctx, addr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return 0
}
