package beat

import (
	"testing"
	"time"
)

func TestWaitsEndTogether(t *testing.T) {
	for range 3 {
		second, tenth := time.NewTimer(Until(time.Second)), time.NewTimer(Until(100*time.Millisecond))
		at := <-tenth.C
		if late := at.Sub(began) % (100 * time.Millisecond); late > 50*time.Millisecond {
			t.Errorf("a beat was %v late", late) // or early
		}
		second.Stop()
		<-time.After(30 * time.Millisecond)
	}
	if d := Until(time.Hour); d <= 59*time.Minute || d > time.Hour {
		t.Errorf("the next beat is in %v", d)
	}
}
