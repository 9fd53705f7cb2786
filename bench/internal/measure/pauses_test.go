package measure

import (
	"testing"
	"time"
)

func TestPausesAreWhereTheTimeJumps(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	at := begin
	steps := []time.Duration{
		0, 100 * time.Microsecond, pauseFrom - 1, // of its own
		pauseFrom, 2 * time.Millisecond, time.Microsecond, 5 * time.Millisecond,
	}
	i := 0
	now := func() time.Time {
		at = at.Add(steps[i%len(steps)])
		i++
		return at
	}
	var once time.Duration
	for _, s := range steps {
		once += s
	}
	paused, longest := pausesUntil(begin, begin.Add(3*once), now)
	if want := 3 * (pauseFrom + 7*time.Millisecond); paused != want || longest != 5*time.Millisecond {
		t.Errorf("%v of pauses, the longest %v; want %v and 5ms", paused, longest, want)
	}
	at = begin
	late := func() time.Time { return at.Add(time.Second) }
	if paused, longest := pausesUntil(begin, begin.Add(time.Millisecond), late); paused != time.Millisecond || longest != time.Millisecond {
		t.Errorf("a pause beyond the end counts %v, %v; want 1ms", paused, longest)
	}
}

func TestMeasurePausesIsAShare(t *testing.T) {
	const d = 50 * time.Millisecond
	p := MeasurePauses(d)
	if p.Share < 0 || p.Share > 1 || p.Longest < 0 || p.Longest > d || (p.Share > 0) != (p.Longest > 0) {
		t.Errorf("pauses of this machine: %+v", p)
	}
}
