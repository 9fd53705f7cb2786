package clock

import (
	"strings"
	"testing"
	"time"
)

func TestTimesSurviveTheClock(t *testing.T) {
	now := time.Now()
	at := Time(Millis(now))
	if d := now.Sub(at); d < 0 || d >= time.Millisecond {
		t.Errorf("%v is kept as %v", now, at)
	}
	if !strings.Contains(at.String(), "m=") { // a monotonic reading: the system's clock is not asked
		t.Errorf("%v depends on the system's clock", at)
	}
	if at := Time(0); at.After(now) {
		t.Errorf("the process began at %v, after %v", at, now)
	}
}
