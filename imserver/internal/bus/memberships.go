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
		if d := differencesOf(c.Following(), member); len(d.left)+len(d.joined)+len(d.renewed) > 0 {
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
		d := differencesOf(c.Following(), member)
		renewed, err := b.unexpired(ctx, d.renewed, member)
		if err != nil {
			return err
		}
		if err := b.leave(ctx, c, d.left); err != nil {
			return err
		}
		for _, g := range renewed {
			b.o.Hub.LeaveAt(c, protocol.GroupOf(g), member[g].Pos)
		}
		for _, g := range slices.Concat(d.joined, renewed) {
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

// leave makes a connection leave groups, nobody knows since when: of what it has not been given of them, some may be for it.
func (b *Bus) leave(ctx context.Context, c *hub.Conn, groups []string) error {
	tails, err := b.tails(ctx, groups)
	if err != nil {
		return err
	}
	for i, g := range groups {
		b.o.Hub.LeaveAt(c, protocol.GroupOf(g), tails[i].Pos)
	}
	return nil
}

// isMember tells whether a client is in a group. One whose membership is under way is not: that it begins will be announced.
func (b *Bus) isMember(ctx context.Context, id, group string) (bool, error) {
	truth, err := b.o.Store.GroupsOf(ctx, id)
	return byGroup(truth)[group].Synced, err
}

// tails reads where the groups' streams end.
func (b *Bus) tails(ctx context.Context, groups []string) ([]store.Tail, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	sts := make([]protocol.Stream, len(groups))
	for i, g := range groups {
		sts[i] = protocol.GroupOf(g)
	}
	return b.o.Store.Tails(ctx, sts)
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

// unexpired leaves out the groups whose streams are empty and end before the membership began: they have expired since, and who
// comes then follows them from an end that lies before, too.
func (b *Bus) unexpired(ctx context.Context, groups []string, member map[string]store.Membership) ([]string, error) {
	tails, err := b.tails(ctx, groups)
	if err != nil {
		return nil, err
	}
	var left []string
	for i, g := range groups {
		if tails[i].Pos.Seq > 0 || !tails[i].Pos.Less(member[g].Pos) {
			left = append(left, g)
		}
	}
	return left, nil
}

// differences are those between the groups that a connection follows and those that its client is in.
type differences struct {
	left    []string // to be followed no longer
	joined  []string // to be followed
	renewed []string // to be left and followed: the membership is another one, unless the stream has expired
}

// differencesOf compares them, given how far the connection has been given each group.
func differencesOf(follows map[string]protocol.Position, member map[string]store.Membership) (d differences) {
	for g, pos := range follows {
		switch m, ok := member[g]; {
		case !ok || !m.Synced: // one that is under way will be announced
			d.left = append(d.left, g)
		case another(m, pos):
			d.renewed = append(d.renewed, g)
		}
	}
	for g, m := range member {
		if _, ok := follows[g]; !ok && m.Synced {
			d.joined = append(d.joined, g)
		}
	}
	return d
}

// another tells whether a membership is not the one by which a connection was given a group up to pos, but a later one: the
// client left and joined unnoticed, and what was said between is not for it.
func another(m store.Membership, pos protocol.Position) bool { return pos.Less(m.Pos) }
