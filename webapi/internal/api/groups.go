package api

import (
	"context"
	"net/http"

	"github.com/imtier/imtier/pkg/imhelper"
)

// groups lists, counts and dissolves groups. Joining a group makes it; it is gone when its last member left.
type groups struct{ h *imhelper.Helper }

func (g groups) routes() []route {
	return []route{
		serve(route{
			method: http.MethodGet, path: "/v1/groups", id: "listGroups", tag: "Groups", timeout: bulkTimeout,
			summary: "List the groups that have members",
		}, g.list),
		serve(route{
			method: http.MethodGet, path: "/v1/groups/{group}", id: "getGroup", tag: "Groups", timeout: bulkTimeout,
			summary: "Count a group's members",
			detail:  "A group without members has 0; it is not an error to ask for one.",
		}, g.count),
		serve(route{
			method: http.MethodPut, path: "/v1/groups/{group}", id: "setGroup", tag: "Groups",
			summary: "Set a group's options", status: http.StatusNoContent,
			detail: "With `notices` members are told who becomes a member and who ceases to be one (also by going offline, if " +
				"`untilOffline`), by an ephemeral message of the group `{\"type\":\"enter\" or \"exit\",\"group\",\"clientId\",\"time\"}`. " +
				"The group need not have members; dissolving it ends its options.",
		}, g.set),
		serve(route{
			method: http.MethodDelete, path: "/v1/groups/{group}", id: "dissolveGroup", tag: "Groups", timeout: bulkTimeout,
			summary: "End all memberships of a group", status: http.StatusNoContent,
		}, g.dissolve),
	}
}

type groupIn struct {
	Group string `path:"group" json:"-"`
}

type groupOut struct {
	Group   string `json:"group" example:"room-1"`
	Members int    `json:"members"`
	Online  int    `json:"online" description:"Members that are online. Two seconds after a node has died its clients are not counted, though they are online until its lease is over, after 15 seconds."`
}

type oneGroupOut struct {
	groupOut
	Notices bool `json:"notices" description:"Members are told who comes and who goes."`
}

type setGroupIn struct {
	Group   string `path:"group" json:"-"`
	Notices bool   `json:"notices,omitempty" description:"Tell members who comes and who goes."`
}

type groupsOut struct {
	Groups []groupOut `json:"groups"`
	Next   string     `json:"next" description:"cursor of the next page; empty when this is the last one."`
}

func (g groups) list(ctx context.Context, in *paging) (*groupsOut, error) {
	infos, next, err := g.h.Groups(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &groupsOut{Groups: make([]groupOut, len(infos)), Next: next}
	for i, x := range infos {
		out.Groups[i] = groupOut(x)
	}
	return out, nil
}

func (g groups) count(ctx context.Context, in *groupIn) (*oneGroupOut, error) {
	info, err := g.h.Group(ctx, in.Group)
	if err != nil {
		return nil, err
	}
	o, err := g.h.GroupOptions(ctx, in.Group)
	if err != nil {
		return nil, err
	}
	out := &oneGroupOut{groupOut(info), o.Notices}
	out.Group = in.Group
	return out, nil
}

func (g groups) set(ctx context.Context, in *setGroupIn) (empty, error) {
	return empty{}, g.h.SetGroup(ctx, in.Group, imhelper.GroupOptions{Notices: in.Notices})
}

func (g groups) dissolve(ctx context.Context, in *groupIn) (empty, error) {
	return empty{}, g.h.Dissolve(ctx, in.Group)
}
