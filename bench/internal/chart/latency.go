package chart

import (
	"fmt"
	"io"
	"math"

	"github.com/imtier/imtier/bench/internal/report"
)

const (
	latencyWidth  = 760
	latencyHeight = 380 // without the legend
	// lastNine is the rightmost percentile: 99.99.
	lastNine = 4.0
)

// Latency draws how latencies are distributed: milliseconds against percentiles, each nine as wide as the one before.
func Latency(w io.Writer, title string, latencies []report.Latency) error {
	low, high := math.Inf(1), 0.0
	for _, l := range latencies {
		low, high = min(low, max(l.Min, 0.01)), max(high, l.Max)
	}
	low, high = math.Floor(math.Log10(min(low, 1))), math.Ceil(math.Log10(max(high, 1)))
	if high <= low {
		high = low + 1
	}
	p := &panel{title: title, xLabel: "percent that took no longer", yLabel: "milliseconds"}
	for at := low; at <= high; at++ {
		p.yTicks = append(p.yTicks, tick{(at - low) / (high - low), fmt.Sprintf("%g", math.Pow(10, at))})
	}
	for _, percent := range []float64{0, 50, 90, 99, 99.9, 99.99} {
		p.xTicks = append(p.xTicks, tick{nines(percent) / lastNine, fmt.Sprintf("%g", percent)})
	}
	for _, l := range latencies {
		one := line{name: fmt.Sprintf("%s: p50 %s, p99 %s, p99.9 %s ms", l.Name, report.Number(l.P50), report.Number(l.P99), report.Number(l.P999))}
		for _, c := range l.Curve {
			y := (math.Log10(max(c.Millis, math.Pow(10, low))) - low) / (high - low)
			one.points = append(one.points, point{nines(c.Percent) / lastNine, y})
			if nines(c.Percent) >= lastNine {
				break
			}
		}
		p.lines = append(p.lines, one)
	}
	s := newSVG(latencyWidth, latencyHeight+int(float64(len(p.lines))*legendLine+margin), title)
	p.draw(s, 0, margin/2, latencyWidth, latencyHeight)
	legend(s, scaleWidth, latencyHeight+margin/2, p.lines)
	return s.writeTo(w)
}

// nines counts the nines of a percentile: 90 has one, 99 two; what lies between has a part of one.
func nines(percent float64) float64 {
	return min(-math.Log10(max(1-percent/100, math.Pow(10, -lastNine))), lastNine)
}
