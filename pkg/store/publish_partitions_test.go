package store

import "testing"

// What a goroutine learns in the middle of a round is for the next one: all jobs of a partition have the same life.
func TestARoundReadsALifeOnce(t *testing.T) {
	var l lives
	l.init(4, false)
	l.learn(3, 7)
	var ps partitions
	for _, p := range []int{3, 1, 3, allPartition, 1, 3} {
		at := ps.of(p, &l)
		if want := l.of(p).fence; p != 3 && at.life.fence != want || p == 3 && at.life.fence != 7 {
			t.Errorf("partition %d has fence %d", p, at.life.fence)
		}
		l.learn(3, 9)
	}
	if len(ps) != 3 {
		t.Errorf("%d partitions, want 3", len(ps))
	}
}
