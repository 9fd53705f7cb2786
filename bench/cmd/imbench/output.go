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

// try finds out whether the results can be written, before minutes have gone into them.
func (o *output) try() error {
	var all error
	if o.svg != "" {
		all = chart.TryFolder(o.svg)
	}
	if o.toFile() {
		f, err := os.OpenFile(string(o.json), os.O_CREATE|os.O_WRONLY, 0o666) // what is in it stays for now
		if err == nil {
			err = f.Close()
		}
		all = errors.Join(all, err)
	}
	return all
}

// toFile tells whether JSON goes to a file.
func (o *output) toFile() bool { return o.json != "" && o.json != "-" }

// write writes everything but the tables. When one kind cannot be written the other is all the same.
func (o *output) write(rep *report.Report, stdout io.Writer) error {
	err := o.writeJSON(rep, stdout)
	if o.svg != "" {
		err = errors.Join(err, chart.Write(o.svg, rep))
	}
	return err
}

func (o *output) writeJSON(rep *report.Report, stdout io.Writer) error {
	switch {
	case o.json == "-":
		return rep.JSON(stdout)
	case !o.toFile():
		return nil
	}
	f, err := os.Create(string(o.json))
	if err != nil {
		return err
	}
	return errors.Join(rep.JSON(f), f.Close())
}
