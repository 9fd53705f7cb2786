package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/report"
)

// wellFormed reads a picture as XML.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
	for _, not := range []string{"NaN", "Inf", "href", "http://www.w3.org/1999"} {
		if strings.Contains(text, not) {
			t.Errorf("%q in\n%s", not, text)
		}
	}
}

func TestLatency(t *testing.T) {
	res := report.New("x", "")
	for i, name := range []string{"fast <&>", "slow", "one value", "nothing above a microsecond"} {
		l := measure.NewLatency()
		for n := range []int{10_000, 100, 1, 3}[i] {
			l.Record(time.Duration(n*(i+1)) * []time.Duration{time.Microsecond, time.Second, time.Minute, 1}[i])
		}
		res.Took(name, l)
	}
	var out bytes.Buffer
	if err := Latency(&out, "a title", res.Latencies); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, out.String())
	for _, want := range []string{"fast &lt;&amp;&gt;", "a title", ">99.9<", ">0.01<", "prefers-color-scheme: dark"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if got := strings.Count(out.String(), "<polyline"); got != 2*4 { // in the area and in the legend
		t.Errorf("%d lines, want 8", got)
	}
}

func TestLinesDiffer(t *testing.T) {
	seen := make(map[string]int)
	for i := range 3 * colours {
		var s svg
		s.polyline(i, nil)
		if before, again := seen[s.b.String()]; again {
			t.Errorf("lines %d and %d look the same", before, i)
		}
		seen[s.b.String()] = i
	}
}

func TestCosts(t *testing.T) {
	series := []report.Series{
		{Name: "sockets", X: "sockets", Y: "µs", Points: []report.Point{{X: 1000, Y: 4}, {X: 4000, Y: 5}, {X: 18000, Y: 4.5}}},
		{Name: "nothing", X: "nodes", Y: "µs"},
	}
	var out bytes.Buffer
	if err := Costs(&out, "a title", series, 0.15); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, out.String())
	for _, want := range []string{">18,000<", "sockets: ±11 %"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestNines(t *testing.T) {
	for percent, want := range map[float64]float64{0: 0, 90: 1, 99: 2, 99.9: 3, 99.99: 4, 100: 4} {
		if got := nines(percent); math.Abs(got-want) > 1e-9 {
			t.Errorf("nines(%v) = %v, want %v", percent, got, want)
		}
	}
}
