package report

import (
	"fmt"
	"math"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
)

// Report is one run of imbench: the document that -json writes.
type Report struct {
	Machine measure.Machine `json:"machine"`
	Results []*Result       `json:"results"`
}

// Met tells whether every goal of every result was met.
func (r *Report) Met() bool {
	for _, one := range r.Results {
		if !one.Met() {
			return false
		}
	}
	return true
}

// Result is what one benchmark found.
type Result struct {
	Name       string            `json:"name"`    // the subcommand
	Command    string            `json:"command"` // with what tells it from others of its kind; see Report.Summary
	Title      string            `json:"title"`   // what was done, in a line
	Redis      string            `json:"redis"`   // what Redis keeps on disk
	Began      time.Time         `json:"began"`
	Seconds    float64           `json:"seconds"` // that all of it took
	Parameters map[string]string `json:"parameters"`
	Rows       []Row             `json:"rows"`
	Latencies  []Latency         `json:"latencies,omitempty"`
	Costs      []Cost            `json:"costs,omitempty"`
	Series     []Series          `json:"series,omitempty"`
	Failure    string            `json:"failure,omitempty"` // why it could not be measured to its end
}

// New begins a result.
func New(name, title string) *Result {
	return &Result{Name: name, Command: name, Title: title, Began: time.Now()}
}

// Row is one number.
type Row struct {
	Measure string  `json:"measure"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Goal    *Goal   `json:"goal,omitempty"`
	Met     *bool   `json:"met,omitempty"` // whether Value keeps Goal; absent without one
	Note    string  `json:"note,omitempty"`
}

// Goal is a bound: "<=" or ">=", and a number in the row's unit.
type Goal struct {
	Is    string  `json:"is"`
	Value float64 `json:"value"`
}

const (
	atMost  = "<="
	atLeast = ">="
)

// AtMost is a goal that is met by v and less.
func AtMost(v float64) *Goal { return &Goal{atMost, v} }

// AtLeast is a goal that is met by v and more.
func AtLeast(v float64) *Goal { return &Goal{atLeast, v} }

func (g *Goal) met(v float64) bool {
	if g.Is == atMost {
		return v <= g.Value
	}
	return v >= g.Value // a value that is not a number meets nothing
}

// Add adds a number that is only told.
func (r *Result) Add(measure string, value float64, unit, note string) {
	r.Rows = append(r.Rows, Row{Measure: measure, Value: r.number(measure, value), Unit: unit, Note: note})
}

// number returns a value that can be written. What is none, as a share of nothing, is a failure and never met.
func (r *Result) number(measure string, value float64) float64 {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		r.Fail(fmt.Errorf("%s: %v is no result", measure, value))
		return 0
	}
	return value
}

// Check adds a number that has a goal.
func (r *Result) Check(measure string, value float64, unit string, goal *Goal, note string) {
	met := goal.met(value)
	r.Rows = append(r.Rows, Row{Measure: measure, Value: r.number(measure, value), Unit: unit, Goal: goal, Met: &met, Note: note})
}

// Fail notes that it could not be measured to its end.
func (r *Result) Fail(err error) { r.Failure = err.Error() }

// Met tells whether it came to its end and every goal was met.
func (r *Result) Met() bool {
	if r.Failure != "" {
		return false
	}
	for _, row := range r.Rows {
		if row.Met != nil && !*row.Met {
			return false
		}
	}
	return true
}

// Value returns the number of a row by its name; false when there is none.
func (r *Result) Value(measure string) (float64, bool) {
	for _, row := range r.Rows {
		if row.Measure == measure {
			return row.Value, true
		}
	}
	return 0, false
}

// Latency is how long one kind of thing took, milliseconds.
type Latency struct {
	Name string `json:"name"`
	measure.Summary
	Curve []measure.Percentile `json:"curve"`
}

// Took adds how long one kind of thing took, unless there was none.
func (r *Result) Took(name string, l *measure.Latency) {
	if l.Count() > 0 {
		r.Latencies = append(r.Latencies, Latency{Name: name, Summary: l.Summary(), Curve: l.Curve()})
	}
}

// Cost is what one piece of work costs the processes that take part.
type Cost struct {
	Work      string    `json:"work"`
	Unit      string    `json:"unit"`  // what a piece is, such as "delivery"
	Count     int64     `json:"count"` // of pieces
	Processes []Process `json:"processes"`
	Redis     *Redis    `json:"redis,omitempty"` // absent when Redis cannot be asked
}

// Cost is what a kind of work cost; nothing if it was not measured.
func (r *Result) Cost(work string) *Cost {
	for i := range r.Costs {
		if r.Costs[i].Work == work {
			return &r.Costs[i]
		}
	}
	return &Cost{Work: work}
}

// Process is one process's part.
type Process struct {
	Name   string  `json:"name"`
	Micros float64 `json:"microseconds"` // of processor time for one piece
}

// Redis is what Redis does for one piece.
type Redis struct {
	Commands float64            `json:"commands"`  // also those that scripts call
	ByName   map[string]float64 `json:"byCommand"` // calls
}

// Micros is the processor time of all processes for one piece.
func (c *Cost) Micros() float64 {
	var sum float64
	for _, p := range c.Processes {
		sum += p.Micros
	}
	return sum
}

// Of is the processor time of one process for one piece, in microseconds.
func (c *Cost) Of(name string) float64 {
	var sum float64
	for _, p := range c.Processes {
		if p.Name == name {
			sum += p.Micros
		}
	}
	return sum
}

// Series is a cost against a size: one line of a picture.
type Series struct {
	Name   string  `json:"name"`
	X      string  `json:"x"` // what the sizes count
	Y      string  `json:"y"` // what the costs are, with their unit
	Points []Point `json:"points"`
}

// Point is one measurement of a series.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}
