package api

import (
	"context"
	"net/http"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
)

// members changes and lists who is in a group.
type members struct{ h *imhelper.Helper }

func (m members) routes() []route {
	const path = "/v1/groups/{group}/members"
	return []route{
		serve(route{
			method: http.MethodGet, path: path, id: "listMembers", tag: "Groups",
			summary: "List a group's members",
		}, m.list),
		serve(route{
			method: http.MethodPost, path: path, id: "changeMembers", tag: "Groups", timeout: bulkTimeout,
			summary: "Add and remove many members",
			detail:  "Those in `add` join first, then those in `remove` leave. Repeating it is harmless.",
		}, m.change),
		serve(route{
			method: http.MethodPut, path: path + "/{clientId}", id: "addMember", tag: "Groups",
			summary: "Make a client a member", status: http.StatusNoContent,
			detail: "Clients may join whether they are online or not. Joining twice is harmless.",
		}, m.add),
		serve(route{
			method: http.MethodDelete, path: path + "/{clientId}", id: "removeMember", tag: "Groups",
			summary: "End a client's membership", status: http.StatusNoContent,
		}, m.remove),
	}
}

type membersIn struct {
	Group string `path:"group" json:"-"`
	paging
}

type memberOut struct {
	ClientID string `json:"clientId" example:"alice"`
	Online   bool   `json:"online"`
}

type membersOut struct {
	Members []memberOut `json:"members"`
	Next    string      `json:"next" description:"cursor of the next page; empty when this is the last one."`
}

type changeIn struct {
	Group        string   `path:"group" json:"-"`
	Add          []string `json:"add,omitempty" maxItems:"1000" description:"clientIds."`
	Remove       []string `json:"remove,omitempty" maxItems:"1000" description:"clientIds."`
	UntilOffline bool     `json:"untilOffline,omitempty" description:"The new memberships end when the client goes offline."`
	History      bool     `json:"history,omitempty" description:"New members also get the messages that the group's log still holds."`
}

type changeOut struct {
	Added   int `json:"added" description:"How many were not members before."`
	Removed int `json:"removed" description:"How many were members before."`
}

type memberIn struct {
	Group    string `path:"group" json:"-"`
	ClientID string `path:"clientId" json:"-"`
}

type addMemberIn struct {
	memberIn
	UntilOffline bool `json:"untilOffline,omitempty" description:"The membership ends when the client goes offline."`
	History      bool `json:"history,omitempty" description:"A new member also gets the messages that the group's log still holds."`
}

func (m members) list(ctx context.Context, in *membersIn) (*membersOut, error) {
	found, next, err := m.h.GroupMembers(ctx, in.Group, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &membersOut{Members: make([]memberOut, len(found)), Next: next}
	for i, x := range found {
		out.Members[i] = memberOut(x)
	}
	return out, nil
}

func (m members) change(ctx context.Context, in *changeIn) (*changeOut, error) {
	if len(in.Add)+len(in.Remove) == 0 {
		return nil, &imhelper.FieldError{Field: "add", Problem: "and remove are both empty"}
	}
	// Both are checked before either is done: a bad name changes nothing.
	for _, l := range []struct {
		field string
		ids   []string
	}{{"add", in.Add}, {"remove", in.Remove}} {
		if err := imhelper.CheckClientIDs(l.field, l.ids, protocol.MaxReceivers); err != nil {
			return nil, err
		}
	}
	var out changeOut
	var err error
	if len(in.Add) > 0 {
		if out.Added, err = m.h.JoinGroupWith(ctx, in.Group, imhelper.JoinOptions{UntilOffline: in.UntilOffline, History: in.History}, in.Add...); err != nil {
			return nil, err
		}
	}
	if len(in.Remove) > 0 {
		if out.Removed, err = m.h.LeaveGroup(ctx, in.Group, in.Remove...); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

func (m members) add(ctx context.Context, in *addMemberIn) (empty, error) {
	_, err := m.h.JoinGroupWith(ctx, in.Group, imhelper.JoinOptions{UntilOffline: in.UntilOffline, History: in.History}, in.ClientID)
	return empty{}, inPath(err)
}

func (m members) remove(ctx context.Context, in *memberIn) (empty, error) {
	_, err := m.h.LeaveGroup(ctx, in.Group, in.ClientID)
	return empty{}, inPath(err)
}

// inPath renames the field of an error: imhelper takes a list where these routes have one id in their path.
func inPath(err error) error {
	if p, _ := problemOf(err); err != nil && p.Field == "clientIds" {
		return fieldProblem(p.Code, "clientId", p.Detail[len(p.Field)+1:])
	}
	return err
}
