package bus

import (
	"context"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// Options of a bus; all are required.
type Options struct {
	Store  *store.Store
	Hub    *hub.Hub
	Policy store.DevicePolicy // of connections whose URL has none
	Rate   int                // connects per second that a client may make; 0 does not limit
	Log    *zap.Logger

	// Compare closes what must not be open any more and registers what Redis does not know: orders to close may have
	// been missed. It ends only when it has, or ctx ends; failed is told of what has to be tried again.
	Compare func(ctx context.Context, failed func(error)) error
}

// Bus is one node's connection to Redis' channels.
type Bus struct {
	o       Options
	sub     *store.Subscriber
	kinds   map[string]protocol.Kind // channel → what is addressed on it
	control *control
	streams *comparison // of the streams' tails
	clients *comparison // of which connections may be open, and which groups they are in
	fences  *comparison // of the fences
	life    life
	probe   probe

	begun atomic.Bool // subscribed to the broadcasts for the first time
	lost  atomic.Bool // the subscriptions are interrupted
	bad   atomic.Int64

	doubts atomic.Int64 // times at which joins and leaves may have been missed, by anybody
	missed atomic.Int64 // the same, and times at which one could not be acted on

	mu         sync.Mutex
	subscribed map[string]bool // wanted; true when confirmed
}

// New makes a bus; Run makes it work.
func New(o Options) *Bus {
	b := &Bus{
		o:          o,
		kinds:      make(map[string]protocol.Kind),
		probe:      probe{name: protocol.NewID()},
		subscribed: make(map[string]bool),
	}
	for p := range o.Store.Partitions() {
		b.kinds[o.Store.ClientChannel(p)] = protocol.Inbox
		b.kinds[o.Store.GroupChannel(p)] = protocol.Group
	}
	b.kinds[o.Store.AllChannel()] = protocol.All
	b.fences = newComparison("fences", o.Log, b.confirmLife)
	b.streams = newComparison("streams", o.Log, b.compareStreams)
	b.clients = newComparison("clients", o.Log, b.compareClients)
	b.control = newControl(b)
	b.sub = o.Store.NewSubscriber(b)
	return b
}

// Run works until ctx ends, then waits for its goroutines.
func (b *Bus) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.control.start(ctx, &wg)
	wg.Go(func() { b.fences.run(ctx) })
	wg.Go(func() { b.streams.run(ctx) })
	wg.Go(func() { b.clients.run(ctx) })
	wg.Go(func() { b.prune(ctx) })
	wg.Go(func() { b.probing(ctx) })
	return b.sub.Run(ctx)
}

// Begin follows the broadcasts; the node serves nobody before it returned nil. Run must be running.
func (b *Bus) Begin(ctx context.Context) error {
	_, err := b.hold(ctx, protocol.AllStream()) // never released: the node always follows broadcasts
	b.begun.Store(err == nil)
	return err
}

// Connected reports whether what is sent arrives here: the subscriptions are in force, and Redis takes messages.
func (b *Bus) Connected() bool { return b.begun.Load() && !b.lost.Load() && !b.probe.failed.Load() }

// Malformed returns how many pushes or envelopes could not be decoded.
func (b *Bus) Malformed() int64 { return b.bad.Load() }

// Channels returns how many channels the node is subscribed to.
func (b *Bus) Channels() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.subscribed)
}
