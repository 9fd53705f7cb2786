package rig

import (
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/ledger"
)

func TestFirstCalls(t *testing.T) {
	t.Parallel()
	at := func(n int64) time.Time { return time.Unix(n, 0) }
	got := firstCalls([]ledger.Send{
		{Key: "a", Called: at(1), Outcome: ledger.Unknown},
		{Key: "b", Called: at(2), Outcome: ledger.OK},
		{Key: "a", Called: at(5), Outcome: ledger.OK},
		{Key: "a", Called: at(9), Outcome: ledger.OK, Repeated: true},
	})
	if len(got) != 2 || !got["a"].Equal(at(1)) || !got["b"].Equal(at(2)) {
		t.Errorf("%v", got)
	}
}
