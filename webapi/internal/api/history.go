package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
)

// histories reads the messages that are kept.
type histories struct{ h *imhelper.Helper }

func (x histories) routes() []route {
	const detail = "`after` reads forward, oldest first. Otherwise the newest come first, going back from `before` or from the end. " +
		"Give `next` as the same parameter to go on."
	return []route{
		serve(route{
			method: http.MethodGet, path: "/v1/groups/{group}/messages", id: "groupHistory", tag: "History",
			summary: "Read a group's messages", detail: detail,
		}, x.group),
		serve(route{
			method: http.MethodGet, path: "/v1/clients/{clientId}/messages", id: "clientHistory", tag: "History",
			summary: "Read the messages sent to a client", detail: detail,
		}, x.client),
	}
}

type span struct {
	After  string `query:"after" json:"-" example:"1700000000000-7" description:"A position; messages behind it. 0-0 begins with the oldest that is kept."`
	Before string `query:"before" json:"-" example:"1700000000000-7" description:"A position; messages in front of it."`
	Limit  int    `query:"limit" json:"-" minimum:"1" maximum:"1000" default:"100" description:"Messages per page."`
}

type groupHistoryIn struct {
	Group string `path:"group" json:"-"`
	span
}

type clientHistoryIn struct {
	ClientID string `path:"clientId" json:"-"`
	span
}

type historyOut struct {
	Messages []messageOut `json:"messages"`
	Next     string       `json:"next" description:"The position to go on from; empty when this is the last page."`
}

type messageOut struct {
	ID     string          `json:"id"`
	Pos    string          `json:"pos" example:"1700000000000-7"`
	From   string          `json:"from,omitempty" description:"Absent: the system."`
	Time   int64           `json:"time" description:"Unix milliseconds."`
	Data   json.RawMessage `json:"data,omitempty"`
	Binary *[]byte         `json:"binary,omitempty" description:"Base64, instead of data."`
}

func (x histories) group(ctx context.Context, in *groupHistoryIn) (*historyOut, error) {
	return x.read(ctx, protocol.GroupOf(in.Group), in.span)
}

func (x histories) client(ctx context.Context, in *clientHistoryIn) (*historyOut, error) {
	return x.read(ctx, protocol.InboxOf(in.ClientID), in.span)
}

func (x histories) read(ctx context.Context, s protocol.Stream, in span) (*historyOut, error) {
	q := imhelper.HistoryQuery{Limit: in.Limit}
	var err error
	if q.After, err = position("after", in.After); err != nil {
		return nil, err
	}
	q.Oldest = in.After != "" // 0-0 is a position too: before everything
	if q.Before, err = position("before", in.Before); err != nil {
		return nil, err
	}
	page, err := x.h.History(ctx, s, q)
	if err != nil {
		return nil, err
	}
	out := &historyOut{Messages: make([]messageOut, len(page.Messages)), Next: posText(page.Next)}
	for i, m := range page.Messages {
		out.Messages[i] = messageOut{ID: m.ID, Pos: m.Pos.String(), From: m.From, Time: m.Time.UnixMilli(), Data: m.Data}
		if m.Binary != nil {
			out.Messages[i].Binary = &m.Binary
		}
	}
	return out, nil
}
