package scenario

import (
	"math"
	"slices"
	"testing"

	"github.com/imtier/imtier/bench/internal/report"
)

func TestSizes(t *testing.T) {
	var s sizes
	if err := s.Set("1,100,1000"); err != nil || !slices.Equal(s, sizes{1, 100, 1000}) || s.String() != "1,100,1000" {
		t.Errorf("%v, %v", s, err)
	}
	if err := s.Set(""); err != nil || len(s) != 0 {
		t.Errorf("%v, %v; want none", s, err)
	}
	for _, bad := range []string{"x", "1,-2", "0"} {
		if s.Set(bad) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestSpread(t *testing.T) {
	points := func(ys ...float64) (out []report.Point) {
		for _, y := range ys {
			out = append(out, report.Point{Y: y})
		}
		return out
	}
	for _, tc := range []struct {
		of   []report.Point
		want float64
	}{{points(4), 0}, {points(85, 100, 115), 0.15}, {points(2, 1), 1.0 / 3}} {
		if got := spreadOf(tc.of); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("spread of %v is %v, want %v", tc.of, got, tc.want)
		}
	}
}
