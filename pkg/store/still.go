package store

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// While a slot of a Cluster moves to another server, its keys are on both: a command whose keys are not all on one has to wait until
// the slot stands still again. So have scripts that roam.

// stillPause is between attempts; a slot with few keys moves in milliseconds.
const stillPause = 5 * time.Millisecond

// doUntilStill runs commands, those that Redis refused because their slots move or have no server again and again: it has not begun
// with them. Of a partition that moves, what comes later may so be done earlier. Others may run commands in the pauses.
func (s *Store) doUntilStill(ctx context.Context, cmds []rueidis.Completed) []rueidis.RedisResult {
	for i := range cmds {
		cmds[i] = cmds[i].Pin() // may be needed again
	}
	results := s.doAll(ctx, cmds)
	for wait := stillPause; ; wait = min(2*wait, 20*stillPause) {
		var again []int
		for i, r := range results {
			if isMoving(r.Error()) {
				again = append(again, i)
			}
		}
		if len(again) == 0 || !pause(ctx, wait) {
			return results
		}
		todo := make([]rueidis.Completed, len(again))
		for k, i := range again {
			todo[k] = cmds[i]
		}
		for k, r := range s.doAll(ctx, todo) {
			results[again[k]] = r
		}
	}
}
