package scenario

import (
	"testing"
	"time"

	"github.com/imtier/imtier/bench/internal/load"
	"github.com/imtier/imtier/bench/internal/report"
)

func TestALatencyOfNothingMeetsNoGoal(t *testing.T) {
	o := &Send{Rate: 1, MaxP99: time.Second}
	k := newKind(kindDurable, 1, 1, &audience{}, load.Plan{})
	k.answered.Record(time.Millisecond)
	res := report.New("send", "")
	o.rowsAtRate(res, k, []*kind{k})
	if res.Met() {
		t.Errorf("nothing has arrived: %+v", res.Rows)
	}
	k.delivered.Record(time.Millisecond)
	res = report.New("send", "")
	if o.rowsAtRate(res, k, []*kind{k}); !res.Met() {
		t.Errorf("one has arrived: %+v, %s", res.Rows, res.Failure)
	}
}

func TestWarmingUpSendsSomething(t *testing.T) {
	for _, tc := range []struct {
		rate     float64
		duration time.Duration
		want     time.Duration
	}{
		{0, 2 * time.Second, warmTime}, {0, warmTime / 2, warmTime / 2}, {100, 2 * time.Second, warmTime}, {1, 2 * time.Second, 2 * time.Second},
	} {
		if got := warm(load.Plan{Rate: tc.rate, Duration: tc.duration}); got.Duration != tc.want {
			t.Errorf("%v a second for %v: %v, want %v", tc.rate, tc.duration, got.Duration, tc.want)
		}
	}
}
