package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// table writes rows with aligned columns.
type table struct{ text bytes.Buffer }

// row adds a row.
func (t *table) row(cells ...string) { t.text.WriteString("  " + strings.Join(cells, "\t") + "\n") }

// flush writes what was added, with a blank line before it; nothing when nothing was.
func (t *table) flush(out io.Writer) error {
	if t.text.Len() == 0 {
		return nil
	}
	if _, err := io.WriteString(out, "\n"); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	if _, err := w.Write(t.text.Bytes()); err != nil {
		return err
	}
	return w.Flush()
}

// Print writes the result as tables.
func (r *Result) Print(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "\n%s: %s (%.0f s)\n  Redis keeps: %s\n", r.Command, r.Title, r.Seconds, r.Redis); err != nil {
		return err
	}
	for _, t := range []*table{r.rows(), r.latencies(), r.costs(), r.series()} {
		if err := t.flush(out); err != nil {
			return err
		}
	}
	if r.Failure != "" {
		_, err := fmt.Fprintf(out, "\n  FAILED: %s\n", r.Failure)
		return err
	}
	return nil
}

func (r *Result) rows() *table {
	t := &table{}
	for _, row := range r.Rows {
		t.row(row.Measure, quantity(row.Value, row.Unit), row.goal(), row.verdict(), row.Note)
	}
	return t
}

func (r Row) goal() string {
	if r.Goal == nil {
		return ""
	}
	is := map[string]string{atMost: "≤", atLeast: "≥"}[r.Goal.Is]
	return is + " " + quantity(r.Goal.Value, r.Unit)
}

func (r Row) verdict() string {
	switch {
	case r.Met == nil:
		return ""
	case *r.Met:
		return "met"
	}
	return "MISSED"
}

func (r *Result) latencies() *table {
	t := &table{}
	if len(r.Latencies) > 0 {
		t.row("latency, ms", "count", "min", "mean", "stddev", "p50", "p90", "p99", "p99.9", "max")
	}
	for _, l := range r.Latencies {
		t.row(l.Name, Number(float64(l.Count)), Number(l.Min), Number(l.Mean), Number(l.StdDev),
			Number(l.P50), Number(l.P90), Number(l.P99), Number(l.P999), Number(l.Max))
	}
	return t
}

func (r *Result) costs() *table {
	t := &table{}
	if len(r.Costs) == 0 {
		return t
	}
	var names []string
	for _, c := range r.Costs {
		for _, p := range c.Processes {
			if p.Micros > 0 && !slices.Contains(names, p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	t.row(append([]string{"processor time, µs", "for one", "of", "all"}, append(names, "Redis commands")...)...)
	for _, c := range r.Costs {
		cells := []string{c.Work, c.Unit, Number(float64(c.Count)), Number(c.Micros())}
		for _, n := range names {
			cells = append(cells, Number(c.Of(n)))
		}
		if c.Redis != nil {
			cells = append(cells, Number(c.Redis.Commands))
		}
		t.row(cells...)
	}
	return t
}

func (r *Result) series() *table {
	t := &table{}
	for _, s := range r.Series {
		xs, ys := []string{s.Name + ": " + s.X}, []string{s.Y}
		for _, p := range s.Points {
			xs, ys = append(xs, Number(p.X)), append(ys, Number(p.Y))
		}
		t.row(xs...)
		t.row(ys...)
	}
	return t
}

// Summary writes every number that has a goal, of all results, as one table.
func (r *Report) Summary(out io.Writer) error {
	var redis []string
	for _, one := range r.Results {
		if !slices.Contains(redis, one.Redis) {
			redis = append(redis, one.Redis)
		}
	}
	if _, err := fmt.Fprintf(out, "\n%s\nRedis keeps: %s\n", r.Machine, strings.Join(redis, "; ")); err != nil {
		return err
	}
	t := &table{}
	t.row("benchmark", "measure", "goal", "result", "")
	for _, one := range r.Results {
		for _, row := range one.Rows {
			if row.Goal != nil {
				t.row(one.Command, row.Measure, row.goal(), quantity(row.Value, row.Unit), row.verdict())
			}
		}
		if one.Failure != "" {
			t.row(one.Command, "came to its end", "", "no", "MISSED")
		}
	}
	return t.flush(out)
}

// quantity is a number with its unit.
func quantity(v float64, unit string) string {
	if unit == "" {
		return Number(v)
	}
	return Number(v) + " " + unit
}

// Number writes a number with as many digits as say something, and thousands apart.
func Number(v float64) string {
	switch abs := max(v, -v); {
	case v == float64(int64(v)) || abs >= 1000:
		return thousands(fmt.Sprintf("%.0f", v))
	case abs >= 100:
		return fmt.Sprintf("%.1f", v)
	case abs >= 10:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func thousands(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
