package scenario

import (
	"testing"

	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
)

func TestWhatIsKeptIsDividedByThoseWhoWait(t *testing.T) {
	o := &Slow{N: 200, Stuck: 50, V1: 50, OutboxKB: 256} // 25 are raw and have been closed
	for _, tc := range []struct {
		name        string
		queue, heap int // bytes for one that waits
		met         bool
	}{
		{"within", 260_000, 290_000, true},
		{"more is kept", 270_000, 290_000, false},
		{"more memory is taken", 260_000, 400_000, false},
	} {
		res := report.New("slow", "")
		o.kept(res, procs.State{Connections: 175, QueueBytes: 25 * tc.queue}, int64(25*tc.heap))
		if res.Met() != tc.met {
			t.Errorf("%s: %+v", tc.name, res.Rows)
		}
	}
}
