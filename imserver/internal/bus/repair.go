package bus

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

const (
	// repairRetry is the pause after a comparison that failed.
	repairRetry = 300 * time.Millisecond
)

// repair is a request to compare this node's state with Redis.
type repair struct {
	clients bool // also which connections may be open and which groups they are in, and not only the streams' tails
}

// ask requests a repair; requests that wait are merged.
func (b *Bus) ask(r repair) {
	for {
		select {
		case b.repairs <- r:
			return
		case old := <-b.repairs:
			r.clients = r.clients || old.clients
		}
	}
}

// doubt withholds the messages of groups: clients may have left some of them unnoticed. A repair of memberships ends it.
func (b *Bus) doubt() {
	b.doubts.Add(1)
	b.o.Hub.HoldGroups()
}

// trust lets the messages of groups flow again if memberships have not been doubted since.
func (b *Bus) trust(since int64) {
	if b.doubts.Load() == since {
		b.o.Hub.ReleaseGroups()
	}
	if b.doubts.Load() != since { // doubted between the two
		b.o.Hub.HoldGroups()
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
		doubts := b.doubts.Load()
		err := b.o.Hub.Verify(ctx)
		if err == nil && r.clients {
			err = b.o.Compare(ctx)
		}
		if err == nil && r.clients {
			if err = b.compareMemberships(ctx); err == nil {
				b.trust(doubts)
			}
		}
		if err == nil {
			b.o.Log.Info("compared with redis", zap.Bool("clients", r.clients), zap.Duration("took", time.Since(begin)))
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

// compareMemberships finds out what joins and leaves were missed, for all clients here. Each client's is done by the
// worker that acts on its joins and leaves: one that arrives meanwhile is acted on afterwards, so that what was read
// from Redis before it cannot undo it.
func (b *Bus) compareMemberships(ctx context.Context) error {
	clients := b.o.Hub.Clients()
	done := make(chan error, len(clients))
	for _, id := range clients {
		select {
		case b.control.queue(id) <- task{compare: id, done: done}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var failed error
	for range clients {
		select {
		case err := <-done:
			if err != nil {
				failed = err // one is enough to try again
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return failed
}

// another tells whether a membership is not the one by which a connection was given a group up to pos, but a later one: the
// client left and joined unnoticed, and what was said between is not for it. One that is under way has no position yet; it
// will be announced.
func another(m store.Membership, pos protocol.Position) bool {
	return !m.Synced || pos.Less(m.Pos)
}

// compareClient makes the connections of a client follow the groups that it is in, and no others. One that is still
// being admitted reads the memberships itself.
func (b *Bus) compareClient(ctx context.Context, id string) error {
	conns := slices.DeleteFunc(b.o.Hub.ConnsOf(id), func(c *hub.Conn) bool { return !c.Ready() })
	if len(conns) == 0 {
		return nil
	}
	truth, err := b.o.Store.GroupsOf(ctx, id)
	if err != nil {
		return err
	}
	member := make(map[string]store.Membership, len(truth))
	for _, m := range truth {
		member[m.Group] = m
	}
	missing := make(map[string][]*hub.Conn)
	for _, c := range conns {
		follows := c.Following()
		for g, pos := range follows {
			if m, ok := member[g]; !ok || another(m, pos) {
				b.o.Hub.Leave(c, protocol.GroupOf(g))
				delete(follows, g)
			}
		}
		for g, m := range member {
			if _, ok := follows[g]; m.Synced && !ok { // else it is being joined, and will be announced
				missing[g] = append(missing[g], c)
			}
		}
	}
	for g, conns := range missing {
		if err := b.join(ctx, conns, g, member[g].Pos, member[g].Pos.IsZero()); err != nil {
			return err
		}
	}
	return nil
}
