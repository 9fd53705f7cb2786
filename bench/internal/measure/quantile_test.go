package measure

import (
	"slices"
	"testing"
)

func TestQuantile(t *testing.T) {
	ten := []int{10, 3, 7, 1, 9, 2, 8, 4, 6, 5}
	for _, tc := range []struct {
		name   string
		values []int
		q      float64
		want   int
	}{
		{"of nothing", nil, 0.5, 0},
		{"of one", []int{42}, 0.99, 42},
		{"least", ten, 0, 1},
		{"median of an even number", ten, 0.5, 5},
		{"median of an odd number", []int{30, 10, 20}, 0.5, 20},
		{"between two ranks", ten, 0.51, 6},
		{"ninety", ten, 0.9, 9},
		{"largest", ten, 1, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := slices.Clone(tc.values)
			if got := Quantile(tc.values, tc.q); got != tc.want {
				t.Errorf("Quantile(%v, %v) = %v, want %v", tc.values, tc.q, got, tc.want)
			}
			if !slices.Equal(before, tc.values) {
				t.Errorf("the values were changed to %v", tc.values)
			}
		})
	}
}
