// Command imbench measures imtier: it starts real processes, opens real connections and prints a table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/imtier/imtier/bench/internal/bare"
	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/scenario"
)

// Exit codes.
const (
	exitFailed   = 1 // also: a number is outside its limit
	exitBadUsage = 2
)

const usage = `imbench measures imtier on this machine. Each benchmark starts the processes it needs.

  imbench idle       memory and goroutines of connections that do nothing
  imbench fanout     one message to a large group, next to a bare loop
  imbench connect    clients coming in
  imbench sends      sends through webapi, next to a bare handler
  imbench pipelined  sends through imhelper
  imbench resume     clients coming back to what they missed

  imbench <benchmark> -h lists its flags. It exits with 1 when a number is outside its limit.
`

// benchmark is one subcommand.
type benchmark interface {
	Register(*flag.FlagSet) error
	Run(context.Context, io.Writer) error
}

func main() { os.Exit(run(os.Args[1:])) }

// benchmarks are the subcommands.
func benchmarks() map[string]benchmark {
	return map[string]benchmark{
		"idle":      &scenario.Idle{},
		"fanout":    &scenario.Fanout{},
		"connect":   &scenario.Connect{},
		"sends":     &scenario.Sends{},
		"pipelined": &scenario.Pipelined{},
		"resume":    &scenario.Resume{},
	}
}

// workers are imbench's roles as a process that another imbench drives.
func workers() map[string]func(io.Reader, io.Writer) error {
	return map[string]func(io.Reader, io.Writer) error{
		clients.Role:     clients.Work,
		bare.FanoutRole:  bare.WorkFanout,
		bare.HandlerRole: bare.WorkHandler,
	}
}

func roles() []string { return slices.Collect(maps.Keys(workers())) }

func run(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return exitBadUsage
	}
	if b, ok := benchmarks()[args[0]]; ok {
		return measure(b, args[0], args[1:])
	}
	if work, ok := workers()[args[0]]; ok {
		return worker(work)
	}
	if slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		fmt.Print(usage)
		return 0
	}
	fmt.Fprintf(os.Stderr, "unknown benchmark %q\n\n%s", args[0], usage)
	return exitBadUsage
}

func measure(b benchmark, name string, args []string) int {
	fs := flag.NewFlagSet("imbench "+name, flag.ContinueOnError)
	if err := b.Register(fs); err != nil {
		return failed(err)
	}
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitBadUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.Run(ctx, os.Stdout); err != nil {
		return failed(fmt.Errorf("%s: %w", name, err))
	}
	return 0
}

func worker(work func(io.Reader, io.Writer) error) int {
	if err := work(os.Stdin, os.Stdout); err != nil {
		return failed(err)
	}
	return 0
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "imbench:", err)
	return exitFailed
}
