package beat

import (
	"testing"
	"time"
)

func TestUntil(t *testing.T) {
	const ms = time.Millisecond
	for _, tc := range []struct{ now, every, want time.Duration }{
		{0, 500 * ms, 500 * ms},
		{1 * ms, 500 * ms, 499 * ms},
		{499 * ms, 500 * ms, 1 * ms},
		{500 * ms, 500 * ms, 500 * ms}, // never at once
		{1600 * ms, 500 * ms, 400 * ms},
		{1600 * ms, 2000 * ms, 400 * ms}, // the same moment
	} {
		if got := until(tc.now, tc.every); got != tc.want {
			t.Errorf("at %v, every %v: %v, want %v", tc.now, tc.every, got, tc.want)
		}
	}
	if d := Until(time.Hour); d <= 59*time.Minute || d > time.Hour {
		t.Errorf("the next beat is in %v", d)
	}
}
