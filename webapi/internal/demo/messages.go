package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
)

const (
	maxText     = 2000 // characters of a message
	maxID       = 64   // bytes of a message's id
	historySize = 60   // messages that a page gets when it opens a room
)

// chat is the data of a message that somebody wrote. Who wrote it is said by the message's sender, not in here.
type chat struct {
	Kind string `json:"kind"` // "chat"
	Text string `json:"text"`
	To   string `json:"to,omitempty"` // direct messages: the receiver, for the sender's own copy
}

// outgoing is the body of POST /demo/messages.
type outgoing struct {
	ID string `json:"id"` // makes sending it again harmless
	To struct {
		Room     string `json:"room"`
		Person   string `json:"person"`
		Everyone bool   `json:"everyone"`
	} `json:"to"`
	Text string `json:"text"`
}

// send answers POST /demo/messages.
func (d *Demo) send(w http.ResponseWriter, r *http.Request, p person) {
	var in outgoing
	if !decode(w, r, &in) {
		return
	}
	in.Text = strings.TrimSpace(in.Text)
	if in.Text == "" || utf8.RuneCountInString(in.Text) > maxText {
		refuse(w, http.StatusBadRequest, "bad_text", fmt.Sprintf("A message has 1 to %d characters.", maxText))
		return
	}
	if in.ID == "" || len(in.ID) > maxID {
		refuse(w, http.StatusBadRequest, "bad_id", fmt.Sprintf("id has to have 1 to %d bytes.", maxID))
		return
	}
	var err error
	switch {
	case in.To.Room != "":
		err = d.sendRoom(r.Context(), p, in)
	case in.To.Person != "":
		err = d.sendPerson(r.Context(), p, in)
	case in.To.Everyone:
		_, err = d.im.Broadcast(r.Context(), imhelper.BroadcastMessage{From: p.id, ID: in.ID, Data: chat{Text: in.Text}.data()})
	default:
		err = &refusal{http.StatusBadRequest, "bad_to", "to has to be a room, a person or everyone."}
	}
	if err != nil {
		d.fail(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]string{"id": in.ID})
}

func (d *Demo) sendRoom(ctx context.Context, p person, in outgoing) error {
	member, err := d.isRoomMember(ctx, p, in.To.Room)
	if err != nil {
		return err
	}
	if !member {
		return &refusal{http.StatusForbidden, "not_a_member", "Join the room first."}
	}
	_, err = d.im.SendGroup(ctx, imhelper.GroupMessage{
		Group: groupOfRoom(in.To.Room), From: p.id, ID: in.ID, Data: chat{Text: in.Text}.data(),
	})
	return err
}

// sendPerson sends to somebody, and a copy to the sender's own inbox, so that the conversation is there when the
// page is opened again.
func (d *Demo) sendPerson(ctx context.Context, p person, in outgoing) error {
	if _, ok := nicknameOf(in.To.Person); !ok {
		return &refusal{http.StatusNotFound, "nobody", "There is nobody with that id."}
	}
	_, err := d.im.Send(ctx, imhelper.Message{
		To: []string{in.To.Person}, From: p.id, ID: in.ID, Echo: true,
		Data: chat{Text: in.Text, To: in.To.Person}.data(),
	})
	return err
}

func (c chat) data() json.RawMessage {
	c.Kind = "chat"
	return mustEncode(c)
}

// mustEncode encodes this package's own types, which cannot fail.
func mustEncode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("demo: " + err.Error())
	}
	return b
}

type stored struct {
	ID   string          `json:"id"`
	From string          `json:"from,omitempty"`
	Time int64           `json:"time"` // Unix milliseconds
	Data json.RawMessage `json:"data"`
}

// history answers GET /demo/messages.
func (d *Demo) history(w http.ResponseWriter, r *http.Request, p person) {
	stream := protocol.InboxOf(p.id)
	if name := r.URL.Query().Get("room"); name != "" {
		member, err := d.isRoomMember(r.Context(), p, name)
		if err != nil {
			d.fail(w, err)
			return
		}
		if !member {
			refuse(w, http.StatusForbidden, "not_a_member", "Join the room first.")
			return
		}
		stream = protocol.GroupOf(groupOfRoom(name))
	}
	h, err := d.im.History(r.Context(), stream, imhelper.HistoryQuery{Limit: historySize})
	if err != nil {
		d.fail(w, err)
		return
	}
	list := make([]stored, 0, len(h.Messages))
	for _, m := range slices.Backward(h.Messages) { // they come newest first
		if m.Data != nil {
			list = append(list, stored{m.ID, m.From, m.Time.UnixMilli(), m.Data})
		}
	}
	answer(w, http.StatusOK, map[string]any{"messages": list})
}
