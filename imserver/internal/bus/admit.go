package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// Admit registers a connection in Redis and makes it follow its inbox, its groups and the broadcasts. The
// returned connection holds everything from that moment on until it is opened or abandoned.
func (b *Bus) Admit(ctx context.Context, se store.Session) (*hub.Conn, error) {
	inbox := protocol.InboxOf(se.ClientID)
	sts := []protocol.Stream{inbox}
	for _, g := range se.Groups {
		sts = append(sts, protocol.GroupOf(g))
	}
	for _, st := range sts {
		b.o.Hub.Hold(st)
		defer b.o.Hub.Release(st)
	}
	if err := b.subscribe(ctx, sts...); err != nil {
		return nil, err
	}
	c := b.o.Hub.Register(hub.Info{
		ClientID: se.ClientID, ID: se.ConnID, Device: se.Device, IP: se.IP, Since: se.Since.UnixMilli(), Meta: se.Meta,
		Origin: se.Origin, JTI: se.JTI, Policy: string(se.Policy), MayRequest: se.MayRequest,
	})
	if se.Policy == "" {
		se.Policy = b.o.Policy
	}
	se.Rate = b.o.Rate
	missed := b.missed.Load()
	reg, err := b.o.Store.Connect(ctx, se)
	if err != nil {
		c.Unsure = !refused(err)
		c.Abandon() // signs it off
		return nil, fmt.Errorf("register: %w", err)
	}
	if err := b.attach(ctx, c, se, reg); err != nil {
		c.Abandon()
		return nil, err
	}
	// What was missed after its memberships were read, a comparison may have been made for without this connection. One that is
	// made from here on includes it.
	c.Placed()
	if b.missed.Load() != missed {
		if err := b.compareEach(ctx, []string{c.ClientID}); err != nil {
			c.Abandon()
			return nil, fmt.Errorf("compare memberships: %w", err)
		}
	}
	if se.Resume != "" && se.MayRequest {
		if err := b.missedReplies(ctx, c); err != nil {
			c.Abandon()
			return nil, err
		}
	}
	return c, nil
}

// refused reports whether Redis has answered a registration, and not registered.
func refused(err error) bool {
	return errors.Is(err, store.ErrURLUsed) || errors.Is(err, store.ErrRevoked) || errors.Is(err, store.ErrTooOften)
}

// missedReplies gives a resumed session the answers that came while it had no connection. What comes from now on is
// heard.
func (b *Bus) missedReplies(ctx context.Context, c *hub.Conn) error {
	replies, err := b.o.Store.Replies(ctx, c.ClientID, c.Origin)
	for _, r := range replies {
		c.Reply(r.ID, []byte(r.Frame))
	}
	return err
}

// attach makes a connection that is registered follow its streams. Of groups that the registration did not tell the end of
// Redis is asked, unless this node follows them and knows. It may not have come as far as Redis: a connection that takes no
// positions may have been given elsewhere what is still to arrive here, so for that Redis is asked all the same.
func (b *Bus) attach(ctx context.Context, c *hub.Conn, se store.Session, reg *store.Connected) error {
	inbox := protocol.InboxOf(c.ClientID)
	c.Cursors, c.Acked, c.Joined = reg.Cursors, reg.Acked, make(map[string]protocol.Position, len(reg.Groups))
	b.o.Hub.Settle(inbox, reg.Inbox.Pos)
	b.o.Hub.Attach(c, inbox, &reg.Inbox.Pos)
	all := reg.All
	if all == nil && !se.Positions { // a Cluster
		tails, err := b.o.Store.Tails(ctx, []protocol.Stream{protocol.AllStream()})
		if err != nil {
			return fmt.Errorf("read where the broadcasts end: %w", err)
		}
		all = &tails[0].Pos
	}
	b.o.Hub.Attach(c, protocol.AllStream(), all)

	var ask []store.Membership
	var sts []protocol.Stream
	for _, m := range reg.Groups {
		st := protocol.GroupOf(m.Group)
		if m.Synced || m.History { // else it is announced, perhaps only when this connection follows the group already
			c.Joined[st.String()] = m.Pos
		}
		known := b.o.Hub.Hold(st)
		defer b.o.Hub.Release(st)
		if tail, ok := reg.Tails[m.Group]; ok {
			b.o.Hub.Settle(st, tail)
			b.o.Hub.Attach(c, st, &tail)
		} else if known && m.Synced && se.Positions && !slices.Contains(se.Groups, m.Group) {
			b.o.Hub.AttachSince(c, st, m.Pos)
		} else {
			ask, sts = append(ask, m), append(sts, st)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	if err := b.subscribe(ctx, sts...); err != nil {
		return err
	}
	tails, err := b.o.Store.SyncGroups(ctx, c.ClientID, ask)
	if err != nil {
		return fmt.Errorf("follow groups: %w", err)
	}
	for i, st := range sts {
		tail, ok := tails[ask[i].Group]
		if !ok {
			continue // left meanwhile
		}
		b.o.Hub.Settle(st, tail)
		b.o.Hub.Attach(c, st, &tail)
	}
	return nil
}
