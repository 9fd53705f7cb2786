package main

import (
	"errors"
	"flag"
	"io"
	"os"

	"github.com/imtier/imtier/bench/internal/chart"
	"github.com/imtier/imtier/bench/internal/report"
)

// output is where the results go.
type output struct {
	json jsonFlag
	svg  string // folder; empty: no pictures
}

func (o *output) register(fs *flag.FlagSet) {
	fs.Var(&o.json, "json", "write the results as one JSON document, to standard output instead of the tables, or -json=`file` as well as the tables")
	fs.StringVar(&o.svg, "svg", o.svg, "`folder` in which to draw latencies, and costs against sizes")
}

// jsonFlag is a flag that may have a file: "" is no JSON, "-" standard output.
type jsonFlag string

func (f *jsonFlag) String() string   { return string(*f) }
func (f *jsonFlag) IsBoolFlag() bool { return true } // so that -json alone is complete

func (f *jsonFlag) Set(v string) error {
	switch v {
	case "true":
		v = "-"
	case "false":
		v = ""
	}
	*f = jsonFlag(v)
	return nil
}

// text is where tables go.
func (o *output) text(stdout io.Writer) io.Writer {
	if o.json == "-" {
		return io.Discard
	}
	return stdout
}

// write writes everything but the tables.
func (o *output) write(rep *report.Report, stdout io.Writer) error {
	if o.svg != "" {
		if err := chart.Write(o.svg, rep); err != nil {
			return err
		}
	}
	switch o.json {
	case "":
		return nil
	case "-":
		return rep.JSON(stdout)
	}
	f, err := os.Create(string(o.json))
	if err != nil {
		return err
	}
	return errors.Join(rep.JSON(f), f.Close())
}
