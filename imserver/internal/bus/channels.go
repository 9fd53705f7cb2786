package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// pruneInterval is how often channels that nobody needs any more are left. Not at once: a client that
// reconnects would cost two commands for nothing.
const pruneInterval = 5 * time.Second

// channel is where messages for a stream are published.
func (b *Bus) channel(st protocol.Stream) string {
	switch st.Kind {
	case protocol.Inbox:
		return b.o.Store.ClientChannel(b.o.Store.Partition(st.Name))
	case protocol.Group:
		return b.o.Store.GroupChannel(b.o.Store.Partition(st.Name))
	default:
		return b.o.Store.AllChannel()
	}
}

// subscribe makes sure that the channels of streams are subscribed to; it returns when Redis has confirmed. The
// streams' topics must be held, or prune might leave the channels again.
func (b *Bus) subscribe(ctx context.Context, sts ...protocol.Stream) error {
	var missing []string
	b.mu.Lock()
	for _, st := range sts {
		if ch := b.channel(st); !b.subscribed[ch] {
			b.subscribed[ch] = false // known to prune even if confirming fails
			missing = append(missing, ch)
		}
	}
	b.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	if err := b.sub.Subscribe(ctx, missing...); err != nil {
		return fmt.Errorf("subscribe %d channels: %w", len(missing), err)
	}
	b.mu.Lock()
	for _, ch := range missing {
		b.subscribed[ch] = true
	}
	b.mu.Unlock()
	return nil
}

// hold keeps the topics of streams, subscribed to and with a known tail, until release is called.
func (b *Bus) hold(ctx context.Context, sts ...protocol.Stream) (release func(), err error) {
	var unknown []protocol.Stream
	for _, st := range sts {
		if !b.o.Hub.Hold(st) {
			unknown = append(unknown, st)
		}
	}
	release = func() {
		for _, st := range sts {
			b.o.Hub.Release(st)
		}
	}
	if err := b.subscribe(ctx, sts...); err != nil {
		release()
		return nil, err
	}
	if len(unknown) == 0 {
		return release, nil
	}
	tails, err := b.o.Store.Tails(ctx, unknown)
	if err != nil {
		release()
		return nil, fmt.Errorf("read tails: %w", err)
	}
	for i, st := range unknown {
		b.o.Hub.Settle(st, tails[i].Pos)
	}
	return release, nil
}

// prune leaves the channels of partitions in which nothing is followed any more.
func (b *Bus) prune(ctx context.Context) {
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	last := int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n := b.o.Hub.Forgotten(); n != last { // else every channel has a stream, and to visit all would be for nothing
			last = n // read before the visit: what is forgotten during it is looked for the next time
			b.pruneOnce()
		}
	}
}

// pruneOnce holds mu all the time: a topic that appears meanwhile finds its channel gone and subscribes again.
func (b *Bus) pruneOnce() {
	b.mu.Lock()
	defer b.mu.Unlock()
	needed := make(map[string]bool, len(b.subscribed))
	b.o.Hub.Streams(func(st protocol.Stream) { needed[b.channel(st)] = true })
	var idle []string
	for ch := range b.subscribed {
		if !needed[ch] {
			idle = append(idle, ch)
			delete(b.subscribed, ch)
		}
	}
	if len(idle) > 0 {
		b.sub.Unsubscribe(idle...)
	}
}
