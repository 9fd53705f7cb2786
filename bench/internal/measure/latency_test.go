package measure

import (
	"testing"
	"time"
)

func TestLatency(t *testing.T) {
	l := NewLatency()
	for i := range 1000 {
		l.Record(time.Duration(i+1) * time.Millisecond)
	}
	l.Record(-time.Second)     // a clock that stepped back
	l.Record(10 * time.Minute) // more than is kept
	s := l.Summary()
	near := func(name string, got, want float64) {
		t.Helper()
		if got < want*0.995 || got > want*1.005 {
			t.Errorf("%s = %v, want about %v", name, got, want)
		}
	}
	if s.Count != 1002 || s.Min != 0 {
		t.Errorf("count %d, min %v", s.Count, s.Min)
	}
	near("p50", s.P50, 500)
	near("p90", s.P90, 900)
	near("p99", s.P99, 991)
	near("max", s.Max, 60_000)
	near("Quantile(0.5)", float64(l.Quantile(0.5).Milliseconds()), 500)
	if curve := l.Curve(); len(curve) < 10 || curve[len(curve)-1].Percent != 100 {
		t.Errorf("the curve has %d points: %v", len(curve), curve)
	}
	if NewLatency().Curve() != nil {
		t.Error("nothing has a curve")
	}
}

func TestLatencyPassesFromProcessToProcess(t *testing.T) {
	a, b, both := NewLatency(), NewLatency(), NewLatency()
	for i := range 100 {
		a.Record(time.Duration(i) * time.Microsecond)
		b.Record(time.Duration(i) * time.Second / 10)
		both.Record(time.Duration(i) * time.Microsecond)
		both.Record(time.Duration(i) * time.Second / 10)
	}
	text, err := b.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var came Latency
	if err := came.UnmarshalBinary(text); err != nil {
		t.Fatal(err)
	}
	a.Merge(&came)
	if a.Summary() != both.Summary() {
		t.Errorf("merged %+v, want %+v", a.Summary(), both.Summary())
	}
	a.Reset()
	if a.Count() != 0 {
		t.Error("still there after Reset")
	}
	if err := came.UnmarshalBinary([]byte("no histogram at all")); err == nil {
		t.Error("nonsense was read")
	}
}
