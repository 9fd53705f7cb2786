package imhelper

import (
	"context"
	"fmt"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// GroupInfo is a group that has members.
type GroupInfo struct {
	Group   string `json:"group"`
	Members int    `json:"members"`
	Online  int    `json:"online"` // members with a connection, or who had one moments ago; without those on nodes that died 2 s ago or earlier
}

// Member is a member of a group.
type Member struct {
	ClientID string `json:"clientId"`
	Online   bool   `json:"online"`
}

// Join makes clientID a member of groups, at most 1000, until it leaves them, and returns of how many it was not a
// member before. When it returns the memberships are in Redis: messages sent to the groups after that reach the
// client, online now or later. After an error a part may have been joined; joining again is harmless.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) Join(ctx context.Context, clientID string, groups ...string) (added int, err error) {
	return h.join(ctx, clientID, groups, JoinOptions{})
}

// JoinUntilOffline is Join for memberships that end when the client goes offline. A client that is offline keeps
// them until it has been online.
func (h *Helper) JoinUntilOffline(ctx context.Context, clientID string, groups ...string) (added int, err error) {
	return h.join(ctx, clientID, groups, JoinOptions{UntilOffline: true})
}

// JoinGroup makes clients, at most 1000, members of a group and returns how many were not before. As Join otherwise.
func (h *Helper) JoinGroup(ctx context.Context, group string, clientIDs ...string) (added int, err error) {
	return h.joinGroup(ctx, group, clientIDs, JoinOptions{})
}

// JoinGroupUntilOffline is JoinGroup for memberships that end when the client in question goes offline.
func (h *Helper) JoinGroupUntilOffline(ctx context.Context, group string, clientIDs ...string) (added int, err error) {
	return h.joinGroup(ctx, group, clientIDs, JoinOptions{UntilOffline: true})
}

// JoinOptions say what kind of membership a new one is. The zero value is Join's: it lasts until the client leaves, and
// starts now.
type JoinOptions struct {
	UntilOffline bool // it ends when the client goes offline
	History      bool // it starts at the oldest message of the group that is kept: see JoinGroupWith
}

// JoinGroupWith is JoinGroup with options. With History a new member also gets the messages that the group's log still
// holds: at once when it is connected, else when it comes, on each device that has acknowledged nothing of the group
// yet. Clients without the sub-protocol imtier.v1 never get history. Who is a member already is left as it is, but that
// joining without UntilOffline makes a membership last.
func (h *Helper) JoinGroupWith(ctx context.Context, group string, o JoinOptions, clientIDs ...string) (added int, err error) {
	return h.joinGroup(ctx, group, clientIDs, o)
}

func (h *Helper) join(ctx context.Context, clientID string, groups []string, o JoinOptions) (int, error) {
	if err := checkAll(
		checkClientID("clientId", clientID),
		checkList("groups", groups, protocol.MaxReceivers, protocol.CheckGroup),
	); err != nil {
		return 0, err
	}
	added, err := h.store.JoinGroups(ctx, clientID, unique(groups), store.JoinOptions(o))
	return added, doing("join groups", err)
}

func (h *Helper) joinGroup(ctx context.Context, group string, clientIDs []string, o JoinOptions) (int, error) {
	if err := checkAll(
		checkGroup("group", group),
		checkList("clientIds", clientIDs, protocol.MaxReceivers, protocol.CheckClientID),
	); err != nil {
		return 0, err
	}
	added, err := h.store.Join(ctx, group, unique(clientIDs), store.JoinOptions(o))
	return added, doing("join group", err)
}

// Leave ends clientID's membership in groups, at most 1000, and returns how many there were. When it returns messages sent to
// the groups after that do not reach the client. After an error a part may have been left; leaving again is harmless.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) Leave(ctx context.Context, clientID string, groups ...string) (removed int, err error) {
	if err := checkAll(
		checkClientID("clientId", clientID),
		checkList("groups", groups, protocol.MaxReceivers, protocol.CheckGroup),
	); err != nil {
		return 0, err
	}
	removed, err = h.store.LeaveGroups(ctx, clientID, unique(groups))
	return removed, doing("leave groups", err)
}

// LeaveGroup ends the membership of clients, at most 1000, in a group and returns how many were members. As Leave otherwise.
func (h *Helper) LeaveGroup(ctx context.Context, group string, clientIDs ...string) (removed int, err error) {
	if err := checkAll(
		checkGroup("group", group),
		checkList("clientIds", clientIDs, protocol.MaxReceivers, protocol.CheckClientID),
	); err != nil {
		return 0, err
	}
	removed, err = h.store.Leave(ctx, group, unique(clientIDs))
	return removed, doing("leave group", err)
}

// Dissolve ends all memberships of a group, which then is no longer listed, and deletes its past messages. After an error a part of the members may have left; dissolving again goes on.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) Dissolve(ctx context.Context, group string) error {
	if err := checkGroup("group", group); err != nil {
		return err
	}
	return doing("dissolve group", h.store.Dissolve(ctx, group))
}

// PruneGroup ends the memberships of those members who are offline and returns how many they were. Members who go
// offline or come online meanwhile may be treated either way.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) PruneGroup(ctx context.Context, group string) (removed int, err error) {
	for cursor := ""; ; {
		members, next, err := h.GroupMembers(ctx, group, cursor, maxPage)
		if err != nil {
			return removed, err
		}
		var gone []string
		for _, m := range members {
			if !m.Online {
				gone = append(gone, m.ClientID)
			}
		}
		if len(gone) > 0 {
			n, err := h.LeaveGroup(ctx, group, gone...)
			removed += n
			if err != nil {
				return removed, err
			}
		}
		if next == "" {
			return removed, nil
		}
		cursor = next
	}
}

// Groups lists groups that have members, limit at a time (0 means 100, at most 1000), starting after cursor. An
// empty next means that this was the last page. Groups that come or go meanwhile may or may not be listed.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) Groups(ctx context.Context, cursor string, limit int) (groups []GroupInfo, next string, err error) {
	if limit, err = page(limit); err != nil {
		return nil, "", err
	}
	infos, next, err := h.store.Groups(ctx, cursor, limit)
	if err != nil {
		return nil, "", cursorError("list groups", err)
	}
	groups = make([]GroupInfo, len(infos))
	for i, g := range infos {
		groups[i] = GroupInfo(g)
	}
	return groups, next, nil
}

// Group counts the members of a group. A group that nobody is a member of has 0.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) Group(ctx context.Context, group string) (GroupInfo, error) {
	if err := checkGroup("group", group); err != nil {
		return GroupInfo{}, err
	}
	g, err := h.store.Group(ctx, group)
	return GroupInfo(g), doing("count group", err)
}

// GroupOnline counts the members of a group that are online.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) GroupOnline(ctx context.Context, group string) (int, error) {
	g, err := h.Group(ctx, group)
	return g.Online, err
}

// GroupMembers lists the members of a group, paged as Groups.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) GroupMembers(ctx context.Context, group, cursor string, limit int) (members []Member, next string, err error) {
	if err := checkGroup("group", group); err != nil {
		return nil, "", err
	}
	if limit, err = page(limit); err != nil {
		return nil, "", err
	}
	found, next, err := h.store.Members(ctx, group, cursor, limit)
	if err != nil {
		return nil, "", cursorError("list members", err)
	}
	members = make([]Member, len(found))
	for i, m := range found {
		members[i] = Member(m)
	}
	return members, next, nil
}

// GroupsOf lists the groups that a client is a member of, online or not.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) GroupsOf(ctx context.Context, clientID string) ([]string, error) {
	if err := checkClientID("clientId", clientID); err != nil {
		return nil, err
	}
	memberships, err := h.store.GroupsOf(ctx, clientID)
	if err != nil {
		return nil, fmt.Errorf("list groups of a client: %w", err)
	}
	groups := make([]string, len(memberships))
	for i, m := range memberships {
		groups[i] = m.Group
	}
	return groups, nil
}

// doing says what was being done when err happened, if it did.
func doing(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
