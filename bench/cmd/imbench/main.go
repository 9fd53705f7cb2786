// Command imbench measures imtier: it starts real processes, opens real connections and prints a table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/imtier/imtier/bench/internal/bare"
	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/report"
	"github.com/imtier/imtier/bench/internal/scenario"
	"github.com/imtier/imtier/internal/timerslack"
)

// Exit codes.
const (
	exitFailed   = 1 // also: a goal was missed
	exitBadUsage = 2
)

const usage = `imbench measures imtier on this machine. Each benchmark starts the processes it needs.

  imbench all        all of these at the sizes of the goals, and one table in the end (make bench)
  imbench idle       memory and goroutines of connections that do nothing
  imbench connect    clients coming in, next to servers that only accept; -storm: all at once
  imbench send       direct sends through webapi, next to a bare handler and a bare chain; -via imhelper; -rate for latency
  imbench fanout     one message to a large group, next to a bare loop
  imbench broadcast  one message to all clients of several nodes, next to bare loops
  imbench mixed      a chat: direct and group messages at a given rate, every delivery counted
  imbench resume     clients coming back to what they missed
  imbench slow       clients that stop reading, and what the others notice
  imbench scale      the cost of a delivery against sockets, nodes and groups
  imbench million    a million clients of 55 nodes, one of which is killed

  imbench <benchmark> -h lists its flags. All have -json and -svg. It exits with 1 when a goal is missed.
`

// benchmark is one subcommand.
type benchmark interface {
	Register(*flag.FlagSet) error
	Check() error  // what is wrong with the flags
	Redis() string // what Redis keeps on disk
	Run(context.Context, *report.Progress) (*report.Result, error)
}

func main() {
	_ = timerslack.Widen() // as the servers do; baselines, generator and clients have it from here. Without, all need more time
	os.Exit(run(os.Args[1:]))
}

// benchmarks are the subcommands but all.
func benchmarks() map[string]benchmark {
	return map[string]benchmark{
		"idle":      &scenario.Idle{},
		"connect":   &scenario.Connect{},
		"send":      &scenario.Send{},
		"fanout":    &scenario.Fanout{},
		"broadcast": &scenario.Broadcast{},
		"mixed":     &scenario.Mixed{},
		"resume":    &scenario.Resume{},
		"slow":      &scenario.Slow{},
		"scale":     &scenario.Scale{},
		"million":   &scenario.Million{},
	}
}

// workers are imbench's roles as a process that another imbench drives.
func workers() map[string]func(io.Reader, io.Writer) error {
	return map[string]func(io.Reader, io.Writer) error{
		clients.Role:       clients.Work,
		bare.AcceptRole:    bare.WorkAccept,
		bare.FanoutRole:    bare.WorkFanout,
		bare.HandlerRole:   bare.WorkHandler,
		bare.PublisherRole: bare.WorkPublisher,
		bare.RelayRole:     bare.WorkRelay,
	}
}

func run(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return exitBadUsage
	}
	name, args := args[0], args[1:]
	if work, ok := workers()[name]; ok {
		return worker(work)
	}
	switch _, ok := benchmarks()[name]; {
	case ok:
		return perform([]job{{name: name}}, args)
	case name == "all":
		return perform(suite(), args)
	case slices.Contains([]string{"help", "-h", "--help"}, name):
		fmt.Print(usage)
		return 0
	}
	fmt.Fprintf(os.Stderr, "unknown benchmark %q\n\n%s", name, usage)
	return exitBadUsage
}

// ends are the signals that end imbench in order: what it has started, and folders, are gone then. A hang-up does not when
// somebody has taken care that it is ignored, as nohup does.
func ends() []os.Signal {
	out := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		out = append(out, syscall.SIGHUP)
	}
	return out
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

// perform runs benchmarks one after the other.
func perform(jobs []job, args []string) int {
	var out output
	switch err := prepare(jobs, args, &out); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return exitBadUsage
	case err != nil:
		return failed(err)
	}
	if err := out.try(); err != nil {
		return failed(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends()...)
	defer stop()
	rep, err := runAll(ctx, jobs, &out, os.Stdout, report.NewProgress(os.Stderr))
	switch {
	case err != nil:
		return failed(err)
	case !rep.Met():
		return exitFailed
	}
	return 0
}
