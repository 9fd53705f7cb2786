package protocol

import (
	"fmt"
	"testing"
)

// Names that differ in few characters get about equal shares of the partitions.
func TestRankSharesEvenly(t *testing.T) {
	for run := range 20 {
		names := []string{fmt.Sprintf("im-%d-a", run), fmt.Sprintf("im-%d-b", run), fmt.Sprintf("im-%d-c", run)}
		shares := map[string]int{}
		for p := range DefaultPartitions {
			best := names[0]
			for _, n := range names[1:] {
				if Rank(n, p) > Rank(best, p) {
					best = n
				}
			}
			shares[best]++
		}
		for _, n := range names {
			if got := shares[n]; got < 55 || got > 120 { // 85 each; 4 standard deviations
				t.Errorf("%s has %d of %d partitions", n, got, DefaultPartitions)
			}
		}
	}
}
