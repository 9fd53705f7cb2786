package bus

import (
	"context"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

var _ store.Pauser = (*Bus)(nil) // without Pause nothing would be delivered

// Message implements store.Receiver: decode and enqueue, nothing else.
func (b *Bus) Message(channel string, payload []byte) {
	kind, ok := b.kinds[channel]
	if !ok {
		b.heardProbe(payload) // nothing else is subscribed to
		return
	}
	var p protocol.Push // nearly all are messages, for which it needs no memory of its own
	if err := p.Decode(payload); err != nil {
		b.bad.Add(1)
		return
	}
	switch p.Kind {
	case protocol.PushMessage, protocol.PushEphemeral:
		b.o.Store.MeetFence(p.Fence)
		m, err := hub.NewMessage(p.Envelope)
		if err != nil {
			b.bad.Add(1)
			return
		}
		for _, t := range p.Targets {
			b.o.Hub.Deliver(protocol.Stream{Kind: kind, Name: t.Addr}, t.Pos, p.Fence, m)
		}
	default:
		kept := p
		b.control.add(&kept)
	}
}

// Pause implements store.Pauser.
func (b *Bus) Pause() { b.o.Hub.Flush() }

// Lost implements store.Receiver.
func (b *Bus) Lost(err error) {
	b.lost.Store(true)
	b.life.doubts.Add(1)
	b.miss()
	b.doubt()
	b.o.Log.Warn("subscription interrupted", zap.Error(err))
}

// Restored implements store.Receiver: what was published meanwhile is found by comparing.
func (b *Bus) Restored() {
	b.doubt() // what a comparison read until now may be older than what was missed last
	b.miss()
	b.life.doubts.Add(1)
	b.lost.Store(false)
	b.fences.ask()
	b.streams.ask()
	b.clients.ask()
}

// Dropped is the hub's call for a comparison after it had to drop arrivals.
func (b *Bus) Dropped() {
	b.miss()
	b.streams.ask()
}

// Heard returns nil when everything that Redis published before the call has been passed to the hub.
func (b *Bus) Heard(ctx context.Context) error { return b.sub.Heard(ctx) }
