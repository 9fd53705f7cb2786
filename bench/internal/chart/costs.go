package chart

import (
	"fmt"
	"io"
	"math"

	"github.com/imtier/imtier/bench/internal/report"
)

const (
	costWidth  = 320 // of one series
	costHeight = 300
	costTicks  = 5
)

// Costs draws series side by side, each against its own sizes, which grow by factors. The band is the share around the
// middle of the least and the greatest cost that is allowed.
func Costs(w io.Writer, title string, series []report.Series, band float64) error {
	width := costWidth * len(series)
	s := newSVG(width, costHeight, title)
	top := 0.0
	for _, one := range series {
		for _, p := range one.Points {
			top = max(top, p.Y)
		}
	}
	step := nice(top * 1.25 / costTicks)
	top = step * costTicks
	for i, one := range series {
		costPanel(one, top, step, band).draw(s, float64(i*costWidth), margin/2, costWidth, costHeight-margin)
	}
	return s.writeTo(w)
}

func costPanel(one report.Series, top, step, band float64) *panel {
	p := &panel{title: one.Name, xLabel: one.X, yLabel: one.Y}
	for i := range costTicks + 1 {
		p.yTicks = append(p.yTicks, tick{float64(i) / costTicks, report.Number(float64(i) * step)})
	}
	low, high := math.Inf(1), 0.0
	l := line{name: one.Name, marks: true}
	for i, c := range one.Points {
		// Sizes are steps of a stair, not a ruler: three of them, far apart.
		x := (float64(i) + 0.5) / float64(len(one.Points))
		p.xTicks = append(p.xTicks, tick{x, report.Number(c.X)})
		l.points = append(l.points, point{x, c.Y / top})
		low, high = min(low, c.Y), max(high, c.Y)
	}
	if len(one.Points) > 0 {
		middle := (low + high) / 2 / top
		p.band = [2]float64{middle * (1 - band), middle * (1 + band)}
		p.title = fmt.Sprintf("%s: ±%.0f %%", one.Name, 100*(high-low)/(high+low))
	}
	p.lines = []line{l}
	return p
}

// nice is the next of 1, 2, 2.5, 5 and their tenfolds.
func nice(step float64) float64 {
	if step <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if step <= m*power {
			return m * power
		}
	}
	return 10 * power
}
