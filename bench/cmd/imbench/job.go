package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/report"
)

// job is one benchmark with its flags.
type job struct {
	name string
	args []string

	bench benchmark
	flags *flag.FlagSet
}

// errUsage: the flags are wrong, and the user has been told.
var errUsage = errors.New("bad usage")

// suite is what all runs: each goal at its size.
func suite() []job {
	return []job{
		{name: "idle"},
		{name: "connect"},
		{name: "send"},
		{name: "send", args: []string{"-kind=batch", "-offline"}},
		{name: "send", args: []string{"-via=imhelper", "-offline"}},
		{name: "send", args: []string{"-rate=5000"}},
		{name: "fanout"},
		{name: "broadcast"},
		{name: "mixed"},
		{name: "resume"},
		{name: "slow"},
		{name: "scale"},
	}
}

// prepare parses the flags of all jobs. With several jobs, args may hold only the flags of the output and those that
// every benchmark has.
func prepare(jobs []job, args []string, out *output) error {
	for i := range jobs {
		j := &jobs[i]
		j.bench = benchmarks()[j.name]
		j.flags = flag.NewFlagSet("imbench "+j.name, flag.ContinueOnError)
		out.register(j.flags)
		if err := j.bench.Register(j.flags); err != nil {
			return err
		}
		switch err := j.flags.Parse(slices.Concat(j.args, args)); {
		case errors.Is(err, flag.ErrHelp):
			return err
		case err != nil:
			return errUsage // Parse has told why
		case j.flags.NArg() > 0:
			_, _ = fmt.Fprintf(j.flags.Output(), "%s: what is %q?\n", j.flags.Name(), j.flags.Arg(0))
			return errUsage // told here, or nobody listens
		}
		if err := j.bench.Check(); err != nil {
			_, _ = fmt.Fprintf(j.flags.Output(), "%s: %v\n", j.flags.Name(), err)
			return errUsage
		}
	}
	return nil
}

// runAll runs the jobs and writes what they found. One that fails does not keep the others from running.
func runAll(ctx context.Context, jobs []job, out *output, stdout io.Writer, p *report.Progress) (*report.Report, error) {
	rep := &report.Report{Machine: measure.ThisMachine()}
	text := out.text(stdout)
	for _, j := range jobs {
		res := j.run(ctx, p)
		rep.Results = append(rep.Results, res)
		if err := res.Print(text); err != nil {
			return rep, err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := rep.Summary(text); err != nil {
		return rep, err
	}
	return rep, out.write(rep, stdout)
}

// run runs one benchmark.
func (j *job) run(ctx context.Context, p *report.Progress) *report.Result {
	res, err := j.bench.Run(ctx, p)
	if err != nil {
		res.Fail(err)
	}
	res.Command = strings.Join(append([]string{j.name}, j.args...), " ")
	res.Redis = j.bench.Redis()
	res.Seconds = time.Since(res.Began).Seconds()
	res.Parameters = make(map[string]string)
	j.flags.VisitAll(func(f *flag.Flag) {
		if !slices.Contains(notParameters, f.Name) {
			res.Parameters[f.Name] = f.Value.String()
		}
	})
	return res
}

// notParameters are flags that say where things are, and change no number.
var notParameters = []string{"imserver", "webapi", "redis", "json", "svg", "profile", "profiles"}
