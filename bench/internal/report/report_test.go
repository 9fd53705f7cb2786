package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
)

func example() *Result {
	r := New("fanout", "an example")
	r.Redis = "append-only file"
	r.Check("time", 1.5, "ms", AtMost(2), "")
	r.Check("rate", 12345, "/s", AtLeast(10000), "")
	r.Add("told", 1234567, "bytes", "only told")
	l := measure.NewLatency()
	l.Record(3 * time.Millisecond)
	r.Took("delivery", l)
	r.Took("nothing", measure.NewLatency())
	r.Costs = append(r.Costs, Cost{
		Work: "fan-out", Unit: "delivery", Count: 7,
		Processes: []Process{{"imserver", 4}, {"redis", 0.5}, {"idle", 0}}, Redis: &Redis{Commands: 2},
	})
	return r
}

func TestGoals(t *testing.T) {
	for _, tc := range []struct {
		value float64
		goal  *Goal
		met   bool
	}{
		{1, AtMost(1), true}, {1.01, AtMost(1), false}, {1, AtLeast(1), true}, {0.99, AtLeast(1), false},
		{math.NaN(), AtMost(1), false}, {math.NaN(), AtLeast(1), false},
	} {
		r := New("x", "")
		r.Check("m", tc.value, "", tc.goal, "")
		if r.Met() != tc.met {
			t.Errorf("%v %s %v: met %v", tc.value, tc.goal.Is, tc.goal.Value, r.Met())
		}
	}
	failed := example()
	if failed.Fail(errors.New("broken")); failed.Met() {
		t.Error("a benchmark that failed has met its goals")
	}
}

func TestTables(t *testing.T) {
	r := example()
	var text strings.Builder
	if err := r.Print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"12,345 /s", "≥ 10,000 /s", "≤ 2 ms", "1,234,567 bytes", "p99.9", "append-only file", "imserver", "fan-out"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	for _, not := range []string{"nothing", "MISSED", "idle"} {
		if strings.Contains(text.String(), not) {
			t.Errorf("%q in\n%s", not, text.String())
		}
	}
	r.Fail(errors.New("broken"))
	text.Reset()
	if err := (&Report{Results: []*Result{r}}).Summary(&text); err != nil {
		t.Fatal(err)
	}
	if got := text.String(); strings.Contains(got, "only told") || !strings.Contains(got, "Redis keeps: append-only file\n") || strings.Count(got, "MISSED") != 1 || !strings.Contains(got, "rate") {
		t.Errorf("summary:\n%s", got)
	}
}

func TestJSONIsReadBack(t *testing.T) {
	var text bytes.Buffer
	in := &Report{Machine: measure.ThisMachine(), Results: []*Result{example()}}
	if err := in.JSON(&text); err != nil {
		t.Fatal(err)
	}
	var out Report
	if err := json.Unmarshal(text.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	got := out.Results[0]
	if !got.Met() || got.Redis != "append-only file" || got.Latencies[0].Min != 3 || got.Costs[0].Micros() != 4.5 || out.Machine.Cores < 1 || out.Machine.Memory < 1<<20 {
		t.Errorf("read %+v of\n%s", got, text.String())
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 7: "7", 1.2345: "1.234", 12.345: "12.35", 123.45: "123.5", 1234.5: "1,234", 1234567: "1,234,567", -5000: "-5,000", 0.0004: "0.000",
	} {
		if got := Number(v); got != want {
			t.Errorf("Number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestProgressShowsWhatHappens(t *testing.T) {
	var out bytes.Buffer
	p := &Progress{out: &out, terminal: true, begin: time.Now()}
	p.show(Live{}, Live{Active: 10, Messages: 3000, Errors: 1}, time.Second)
	p.Say("the next thing")
	got := out.String()
	if !strings.Contains(got, "active 10 (10/s), errors 1, messages 3,000 (3,000/s)") || !strings.Contains(got, "\r\x1b[K") {
		t.Errorf("%q", got)
	}
	stop := p.Watch(func() (Live, bool) { return Live{}, false })
	stop()
	stop() // twice does no harm
}
