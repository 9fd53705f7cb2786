package bus

import (
	"context"
	"slices"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/imserver/internal/pace"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// membershipPace: the messages of groups wait for it.
var membershipPace = pace.Pace{Size: 512, Rest: 1}

// compareMemberships finds out what joins and leaves were missed, for all clients here. Nearly always none: so many are looked
// at together, and only those that differ are compared one by one.
func (b *Bus) compareMemberships(ctx context.Context, failed func(error)) error {
	return pace.Each(ctx, membershipPace, b.o.Hub.Clients(), failed, func(ctx context.Context, ids []string) error {
		truths, err := b.o.Store.GroupsOfEach(ctx, ids)
		if err != nil {
			return err
		}
		var differ []string
		for i, id := range ids {
			if !b.agree(id, truths[i]) {
				differ = append(differ, id)
			}
		}
		return b.compareEach(ctx, differ)
	})
}

// agree tells whether the client's connections follow the groups that it is in, by the memberships just read. One that
// changes meanwhile looks different, never the same: what changes is announced here, and acted on without this.
func (b *Bus) agree(id string, truth []store.Membership) bool {
	member := byGroup(truth)
	for _, c := range b.placed(id) {
		if remove, add := differences(c.Following(), member); len(remove)+len(add) > 0 {
			return false
		}
	}
	return true
}

// compareEach compares clients one by one. Each is done by the worker that acts on its joins and leaves: one that arrives
// meanwhile is acted on afterwards, so that what was read from Redis before it cannot undo it.
func (b *Bus) compareEach(ctx context.Context, clients []string) error {
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

// compareClient makes the connections of a client follow the groups that it is in, and no others.
func (b *Bus) compareClient(ctx context.Context, id string) error {
	conns := b.placed(id)
	if len(conns) == 0 {
		return nil
	}
	truth, err := b.o.Store.GroupsOf(ctx, id)
	if err != nil {
		return err
	}
	member := byGroup(truth)
	missing := make(map[string][]*hub.Conn)
	for _, c := range conns {
		remove, add := differences(c.Following(), member)
		for _, g := range remove {
			b.o.Hub.Leave(c, protocol.GroupOf(g))
		}
		for _, g := range add {
			missing[g] = append(missing[g], c)
		}
	}
	for g, conns := range missing {
		if err := b.join(ctx, conns, g, member[g].Pos, member[g].Pos.IsZero()); err != nil {
			return err
		}
	}
	return nil
}

// placed returns a client's connections, but for those that do not follow their groups yet: who admits them sees to it, see
// Admit.
func (b *Bus) placed(id string) []*hub.Conn {
	return slices.DeleteFunc(b.o.Hub.ConnsOf(id), func(c *hub.Conn) bool { return !c.IsPlaced() })
}

func byGroup(truth []store.Membership) map[string]store.Membership {
	member := make(map[string]store.Membership, len(truth))
	for _, m := range truth {
		member[m.Group] = m
	}
	return member
}

// differences tells which groups a connection, given how far it has been given each, has to leave, and which to follow. A
// group whose membership is another one is in both.
func differences(follows map[string]protocol.Position, member map[string]store.Membership) (remove, add []string) {
	for g, pos := range follows {
		if m, ok := member[g]; !ok || another(m, pos) {
			remove = append(remove, g)
		}
	}
	for g, m := range member {
		if pos, ok := follows[g]; m.Synced && (!ok || another(m, pos)) { // else it is being joined, and will be announced
			add = append(add, g)
		}
	}
	return remove, add
}

// another tells whether a membership is not the one by which a connection was given a group up to pos, but a later one: the
// client left and joined unnoticed, and what was said between is not for it. One that is under way has no position yet; it
// will be announced.
func another(m store.Membership, pos protocol.Position) bool {
	return !m.Synced || pos.Less(m.Pos)
}
