package bus

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/imtier/imtier/imserver/internal/pace"
)

// life is whether the fences of Redis are known to be of its present life. They are in doubt from the moment the subscription
// is interrupted: Redis may have lost its end, and until somebody publishes nothing tells.
type life struct {
	doubts    atomic.Int64 // times that it was put in doubt
	confirmed atomic.Int64 // which of them has been settled
	asked     atomic.Int64 // times that Redis was asked

	turn     sync.Mutex // of who asks; those who wait for it share the next answer
	answered int64      // the last time that it answered
}

// Sure returns nil when the fences are of the present life of Redis; it asks if that is in doubt. While the subscription is
// interrupted it always is.
func (b *Bus) Sure(ctx context.Context) error {
	l := &b.life
	before := l.asked.Load()
	if b.sure() {
		return nil
	}
	l.turn.Lock()
	defer l.turn.Unlock()
	if b.sure() || l.answered > before {
		return nil
	}
	doubts, now := l.doubts.Load(), l.asked.Add(1)
	if err := b.o.Store.Confirm(ctx); err != nil {
		return err
	}
	l.confirmed.Store(doubts)
	l.answered = now
	return nil
}

// sure looks for an interruption first: what ends one is another doubt.
func (b *Bus) sure() bool { return !b.lost.Load() && b.life.confirmed.Load() == b.life.doubts.Load() }

// confirmPace has nothing to spare others, it is little; what fails is tried again.
var confirmPace = pace.Pace{Size: 1}

// confirmLife is a comparison of its own: a message that goes on below what clients have is lost to them, and that of streams
// may take a while.
func (b *Bus) confirmLife(ctx context.Context, failed func(error)) error {
	return pace.Each(ctx, confirmPace, []struct{}{{}}, failed, func(ctx context.Context, _ []struct{}) error { return b.Sure(ctx) })
}
