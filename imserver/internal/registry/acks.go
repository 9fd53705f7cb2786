package registry

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

const (
	// ackInterval is how long acknowledgements are collected: a client that acknowledges each message of a busy room
	// costs one write in that time.
	ackInterval = 500 * time.Millisecond
	// ackSoon is how long those are collected that somebody waits for.
	ackSoon = 20 * time.Millisecond
	// maxReads bounds what waits for Redis, per device: messages read, gaps, deliveries. More is not noted: while
	// Redis is away receipts may be lost, positions are not.
	maxReads = 10_000
	// maxReadBytes bounds the ids of messages read, which clients choose, of all devices together: idOverhead and its text each.
	maxReadBytes = 32 << 20
	idOverhead   = 16
	// ackBatch is how many devices are written in one go.
	ackBatch = 512
)

// Acks writes to Redis what clients acknowledged: the newest position of each stream, and what senders want to know.
// What is lost with the process costs its client a message that it has already seen.
type Acks struct {
	store *store.Store
	log   *zap.Logger
	begun chan struct{} // has one element when something is pending that Run does not know of
	soon  chan struct{} // holds one element while somebody waits for what is pending

	turn sync.Mutex // one Flush at a time

	mu        sync.Mutex
	pending   map[device]*store.Ack
	readBytes int // of the ids in pending
}

type device struct{ client, name string }

// NewAcks makes an empty collection; Run makes it work.
func NewAcks(s *store.Store, log *zap.Logger) *Acks {
	return &Acks{store: s, log: log, begun: make(chan struct{}, 1), soon: make(chan struct{}, 1), pending: make(map[device]*store.Ack)}
}

// Add notes what a device acknowledged. It never blocks.
func (a *Acks) Add(clientID, name string, pos map[protocol.Stream]protocol.Position) {
	ack := store.Ack{ClientID: clientID, Device: name, Pos: make(map[string]protocol.Position, len(pos))}
	for st, p := range pos {
		ack.Pos[st.String()] = p
	}
	a.add(&ack)
}

// Given notes that a message was delivered to a connection that does not acknowledge. It never blocks.
func (a *Acks) Given(clientID, name string, pos protocol.Position) {
	a.add(&store.Ack{ClientID: clientID, Device: name, Given: []protocol.Position{pos}})
	a.Soon()
}

// Read notes messages that were read. It never blocks.
func (a *Acks) Read(clientID, name string, ids []string) {
	a.add(&store.Ack{ClientID: clientID, Device: name, Read: ids})
	a.Soon()
}

// Missed notes a gap in the inbox that a device was told of: what it acknowledges beyond does not cover that. It never
// blocks.
func (a *Acks) Missed(clientID, name string, from, to protocol.Position) {
	a.add(&store.Ack{ClientID: clientID, Device: name, Missed: []store.Span{{From: from, To: to}}})
}

func (a *Acks) add(ack *store.Ack) {
	a.mu.Lock()
	first := len(a.pending) == 0
	a.merge(ack)
	a.mu.Unlock()
	if first {
		poke(a.begun)
	}
}

// Soon has what is pending written without much delay, because somebody waits for it. It never blocks.
func (a *Acks) Soon() { poke(a.soon) }

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// merge adds to what is pending of a device: the newest of each stream, and all of the rest. The caller holds mu.
func (a *Acks) merge(ack *store.Ack) {
	d := device{ack.ClientID, ack.Device}
	have := a.pending[d]
	if have == nil {
		ack.Read = a.appendIDs(nil, ack.Read)
		a.pending[d] = ack
		return
	}
	if have.Pos == nil {
		have.Pos = make(map[string]protocol.Position, len(ack.Pos))
	}
	for stream, p := range ack.Pos {
		if have.Pos[stream].Less(p) {
			have.Pos[stream] = p
		}
	}
	have.Missed = appendSome(have.Missed, ack.Missed)
	have.Given = appendSome(have.Given, ack.Given)
	have.Read = a.appendIDs(have.Read, ack.Read)
}

// appendIDs appends as many ids as there is room for. The caller holds mu.
func (a *Acks) appendIDs(to, more []string) []string {
	for i, id := range more {
		if len(to)+i == maxReads || a.readBytes >= maxReadBytes {
			more = more[:i]
			break
		}
		a.readBytes += idOverhead + len(id)
	}
	return append(to, more...)
}

// appendSome appends up to maxReads elements.
func appendSome[T any](to, more []T) []T {
	return append(to, more[:min(len(more), max(0, maxReads-len(to)))]...)
}

// Run writes until ctx ends. While nothing is pending it sleeps: idle nodes are many.
func (a *Acks) Run(ctx context.Context) {
	soon := a.soon
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.begun:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(ackInterval):
		case <-soon:
			select { // for others
			case <-ctx.Done():
				return
			case <-time.After(ackSoon):
			}
		}
		soon = a.soon
		if err := a.Flush(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("write acknowledgements, will retry", zap.Error(err))
			soon = nil // no hurry while Redis is away
			poke(a.begun)
		}
	}
}

// Flush writes what waits. What could not be written waits on.
func (a *Acks) Flush(ctx context.Context) error {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.mu.Lock()
	pending := a.pending
	a.pending, a.readBytes = make(map[device]*store.Ack), 0
	a.mu.Unlock()

	batch := make([]store.Ack, 0, min(len(pending), ackBatch))
	var err error
	write := func() {
		if err == nil { // one failure is enough to know that Redis is away
			err = a.store.Acknowledge(ctx, batch)
		}
		if err != nil {
			a.mu.Lock()
			for i := range batch {
				ack := batch[i]
				a.merge(&ack)
			}
			a.mu.Unlock()
		}
		batch = batch[:0]
	}
	for _, ack := range pending {
		if batch = append(batch, *ack); len(batch) == ackBatch {
			write()
		}
	}
	if len(batch) > 0 {
		write()
	}
	return err
}
