package bus

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/beat"
)

const (
	// probeInterval is how often the way from a send to this node is tried.
	probeInterval = 5 * time.Second
	// probeMisses is after how many unheard probes the subscription is made anew.
	probeMisses = 2
)

// probe is the state of the node's messages to itself. The subscription may look alive and be dead: a replica that
// was cut off answers pings but delivers nothing, and takes no writes.
type probe struct {
	name   string       // of this run
	heard  atomic.Int64 // number of the last one that arrived
	failed atomic.Bool  // the last one was not taken by Redis
}

// probing tries the way from a send to this node until ctx ends.
func (b *Bus) probing(ctx context.Context) {
	if err := b.sub.Subscribe(ctx, b.o.Store.ProbeChannel(b.probe.name)); err != nil {
		return // ctx ended
	}
	tick := time.NewTimer(beat.Until(probeInterval))
	defer tick.Stop()
	misses, sent := 0, int64(0) // sent is 0 while nothing is under way
	for n := int64(1); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tick.Reset(beat.Until(probeInterval))
		}
		if sent == 0 || b.probe.heard.Load() == sent || b.lost.Load() {
			misses = 0
		} else if misses++; misses >= probeMisses {
			b.o.Log.Warn("probes are not heard, subscribing anew")
			misses = 0
			b.sub.Reset()
		}
		err := b.o.Store.Probe(ctx, b.probe.name, strconv.FormatInt(n, 10))
		if sent = n; err != nil {
			sent = 0
		}
		if was := b.probe.failed.Swap(err != nil); err != nil && !was && ctx.Err() == nil {
			b.o.Log.Warn("redis takes no messages", zap.Error(err))
		}
	}
}

// heardProbe takes a probe that arrived.
func (b *Bus) heardProbe(payload []byte) {
	if n, err := strconv.ParseInt(string(payload), 10, 64); err == nil {
		b.probe.heard.Store(n)
	}
}
