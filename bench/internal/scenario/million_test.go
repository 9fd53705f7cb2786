package scenario

import (
	"testing"
	"time"

	"github.com/imtier/imtier/bench/internal/machine"
	"github.com/imtier/imtier/bench/internal/report"
)

func TestAWholePassHasALimitAtFullSize(t *testing.T) {
	o := &Million{MaxTime: 10 * time.Minute}
	full, small := machine.Size{Nodes: 55, PerNode: 18200}, machine.Size{Nodes: 28, PerNode: 18200}
	for _, tc := range []struct {
		size      machine.Size
		took      time.Duration
		goal, met bool
	}{
		{full, 9 * time.Minute, true, true}, {full, 11 * time.Minute, true, false}, {small, 11 * time.Minute, false, true},
	} {
		res := report.New("million", "")
		o.whole(res, tc.size, tc.took)
		if len(res.Rows) != 1 || (res.Rows[0].Goal != nil) != tc.goal || res.Met() != tc.met {
			t.Errorf("%d clients in %v: %+v", tc.size.Connections(), tc.took, res.Rows)
		}
	}
}
