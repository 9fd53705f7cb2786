package bus

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/protocol"
)

const (
	// repairRetry is the pause after a comparison that failed.
	repairRetry = 300 * time.Millisecond
	// comparers is how many clients' memberships are read at once.
	comparers = 16
)

// repair is a request to compare this node's state with Redis.
type repair struct {
	memberships bool // also which groups the clients are in, and not only the streams' tails
}

// ask requests a repair; requests that wait are merged.
func (b *Bus) ask(r repair) {
	for {
		select {
		case b.repairs <- r:
			return
		case old := <-b.repairs:
			r.memberships = r.memberships || old.memberships
		}
	}
}

func (b *Bus) repair(ctx context.Context) {
	for {
		var r repair
		select {
		case <-ctx.Done():
			return
		case r = <-b.repairs:
		}
		begin := time.Now()
		err := b.o.Hub.Verify(ctx)
		if err == nil && r.memberships {
			err = b.compareMemberships(ctx)
		}
		if err == nil {
			b.o.Log.Info("compared with redis", zap.Bool("memberships", r.memberships), zap.Duration("took", time.Since(begin)))
			continue
		}
		if ctx.Err() != nil {
			return
		}
		b.o.Log.Warn("compare with redis, will retry", zap.Error(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(repairRetry):
			b.ask(r)
		}
	}
}

// compareMemberships finds out what joins and leaves were missed, for all clients here.
func (b *Bus) compareMemberships(ctx context.Context) error {
	clients := make(chan string)
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range comparers {
		wg.Go(func() {
			for id := range clients {
				if err := b.compareClient(ctx, id); err != nil {
					once.Do(func() { first = err; cancel() })
				}
			}
		})
	}
	for _, id := range b.o.Hub.Clients() {
		if ctx.Err() != nil {
			break
		}
		clients <- id
	}
	close(clients)
	wg.Wait()
	return first
}

func (b *Bus) compareClient(ctx context.Context, id string) error {
	truth, err := b.o.Store.GroupsOf(ctx, id)
	if err != nil {
		return err
	}
	for _, m := range truth {
		for _, c := range b.o.Hub.ConnsOf(id) {
			if !slices.Contains(c.Following(), m.Group) {
				b.control.add(&protocol.Push{Kind: protocol.PushJoin, ClientID: id, Group: m.Group, Pos: m.Pos})
				break
			}
		}
	}
	for _, c := range b.o.Hub.ConnsOf(id) {
		for _, g := range c.Following() {
			if !slices.ContainsFunc(truth, func(m membership) bool { return m.Group == g }) {
				b.control.add(&protocol.Push{Kind: protocol.PushLeave, ClientID: id, Group: g})
			}
		}
	}
	return nil
}
