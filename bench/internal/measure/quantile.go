package measure

import (
	"cmp"
	"slices"
)

// Quantile returns the smallest value that at least the share q of values do not exceed (the nearest-rank
// definition); q is within 0 and 1. Of no values it is zero. values stay as they are.
func Quantile[T cmp.Ordered](values []T, q float64) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	rank := int(q * float64(len(sorted)))
	if float64(rank) < q*float64(len(sorted)) {
		rank++
	}
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Median is the quantile of one half.
func Median[T cmp.Ordered](values []T) T { return Quantile(values, 0.5) }
