package imhelper

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// HistoryQuery selects a part of a stream. After, or Oldest, reads forward from there, oldest first. Otherwise it reads
// backward from Before, newest first; the zero Before is the end. With both the part between them is read forward.
type HistoryQuery struct {
	After, Before protocol.Position // exclusive; zero means not given
	Oldest        bool              // begin with the oldest message that is kept; ignored with After
	Limit         int               // 0 means 100, at most 1000
}

// HistoryMessage is a message that is kept.
type HistoryMessage struct {
	ID     string            `json:"id"`
	Pos    protocol.Position `json:"pos"`
	From   string            `json:"from,omitempty"` // empty means the system
	Time   time.Time         `json:"time"`
	Data   json.RawMessage   `json:"data,omitempty"` // nil when the message is binary
	Binary []byte            `json:"binary,omitzero"`

	receipt bool // not a message at all
}

// History is a part of a stream.
type History struct {
	Messages []HistoryMessage `json:"messages"`
	// Next continues in the same direction when it is given as After (reading forward) or Before (reading backward).
	// Zero when there is nothing more.
	Next protocol.Position `json:"next"`
}

// History reads the messages that are kept of a stream: protocol.InboxOf a client, protocol.GroupOf a group, or
// protocol.AllStream. Whom a message left out (ExceptSender, Devices) plays no part here. Receipts in an inbox are left
// out, and do not count for the limit.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) History(ctx context.Context, s protocol.Stream, q HistoryQuery) (*History, error) {
	limit, err := checkHistory(s, q)
	if err != nil {
		return nil, err
	}
	out := &History{Messages: []HistoryMessage{}}
	forward, pos := q.Oldest || !q.After.IsZero(), q.Before
	read := h.store.Before
	if forward {
		read, pos = h.store.After, q.After
	}
	atOnce := max(limit, defaultPage) // between messages there may be many receipts
	for more := true; more; {
		entries, err := read(ctx, s, pos, atOnce)
		if err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		more = len(entries) == atOnce
		for i, e := range entries {
			if forward && !q.Before.IsZero() && !e.Pos.Less(q.Before) {
				return out, nil
			}
			m, err := historyMessage(e)
			if err != nil {
				return nil, fmt.Errorf("read history: %s at %s: %w", s, e.Pos, err)
			}
			pos = e.Pos
			if m.receipt {
				continue
			}
			out.Messages = append(out.Messages, m)
			if len(out.Messages) == limit && (more || i < len(entries)-1) {
				out.Next = pos
				return out, nil
			}
		}
	}
	return out, nil
}

func checkHistory(s protocol.Stream, q HistoryQuery) (limit int, err error) {
	switch s.Kind {
	case protocol.Inbox:
		err = checkClientID("clientId", s.Name)
	case protocol.Group:
		err = checkGroup("group", s.Name)
	}
	if err != nil {
		return 0, err
	}
	return page(q.Limit)
}

func historyMessage(e store.Entry) (HistoryMessage, error) {
	env, err := protocol.DecodeEnvelope(e.Envelope)
	if err != nil {
		return HistoryMessage{}, err
	}
	m := HistoryMessage{ID: env.ID, Pos: e.Pos, From: env.From, Time: time.UnixMilli(env.Time), receipt: env.IsReceipt}
	if env.Binary {
		m.Binary = env.Data
	} else {
		m.Data = env.Data
	}
	return m, nil
}
