package imhelper

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/imtier/imtier/pkg/store"
)

// hints wakes those that read events when there are new ones. They share one subscription, which is made when the first
// of them needs it and kept until close. A hint may be missing: who listens looks for itself from time to time.
type hints struct {
	store  *store.Store
	closed chan struct{} // closed by close

	mu        sync.Mutex
	stop      context.CancelFunc // nil until needed
	ended     chan struct{}      // closed when the subscription has ended
	listeners map[*listener]bool
}

// listener is one that reads events.
type listener struct {
	partition int           // or store.EventsOfAll
	wake      chan struct{} // holds one element when there may be something new
}

func newHints(s *store.Store) *hints {
	return &hints{store: s, closed: make(chan struct{}), ended: make(chan struct{}), listeners: make(map[*listener]bool)}
}

// listen makes a listener; forget must follow.
func (hs *hints) listen(partition int) *listener {
	l := &listener{partition: partition, wake: make(chan struct{}, 1)}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.listeners[l] = true
	select {
	case <-hs.closed:
		return l
	default:
	}
	if hs.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		hs.stop = stop
		sub := hs.store.NewSubscriber(hs)
		go func() {
			defer close(hs.ended)
			var wg sync.WaitGroup
			wg.Go(func() { _ = sub.Subscribe(ctx, hs.store.EventChannel()) })
			_ = sub.Run(ctx) // until close
			wg.Wait()
		}()
	}
	return l
}

func (hs *hints) forget(l *listener) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	delete(hs.listeners, l)
}

// close ends the subscription, and those that read.
func (hs *hints) close() {
	hs.mu.Lock()
	select {
	case <-hs.closed:
	default:
		close(hs.closed)
	}
	stop := hs.stop
	hs.mu.Unlock()
	if stop != nil {
		stop()
		<-hs.ended
	}
}

// Message implements store.Receiver: the number of a partition.
func (hs *hints) Message(_ string, payload []byte) {
	p, err := strconv.Atoi(string(payload))
	if err != nil {
		return
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for l := range hs.listeners {
		if l.partition == p || l.partition == store.EventsOfAll {
			select {
			case l.wake <- struct{}{}:
			default:
			}
		}
	}
}

// Lost and Restored implement store.Receiver.
func (hs *hints) Lost(error) {}
func (hs *hints) Restored()  {}

func closedError() error { return fmt.Errorf("%w: %w", ErrUnavailable, errClosed) }
