package demo

import (
	"context"
	"fmt"
	"net/http"
)

const (
	firstRoom = "Lounge" // is always listed, so that nobody starts in an empty page
	groupPage = 1000     // groups asked for at once
	maxRooms  = 200      // listed at most
	maxPages  = 10       // of groups looked at: a product with many groups has none of the demo's business in them
)

type room struct {
	Room    string `json:"room"`
	Members int    `json:"members"`
	Online  int    `json:"online"`
}

// rooms answers GET /demo/rooms.
func (d *Demo) rooms(w http.ResponseWriter, r *http.Request, _ person) {
	list := []room{}
	cursor := ""
	for range maxPages {
		groups, next, err := d.im.Groups(r.Context(), cursor, groupPage)
		if err != nil {
			d.fail(w, err)
			return
		}
		for _, g := range groups {
			if name, ok := roomOfGroup(g.Group); ok && len(list) < maxRooms {
				list = append(list, room{name, g.Members, g.Online})
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	answer(w, http.StatusOK, map[string]any{"rooms": withFirst(list)})
}

func withFirst(list []room) []room {
	for _, r := range list {
		if r.Room == firstRoom {
			return list
		}
	}
	return append([]room{{Room: firstRoom}}, list...)
}

// join answers POST /demo/rooms/join. Nobody has to create a room: it exists while it has members.
func (d *Demo) join(w http.ResponseWriter, r *http.Request, p person) {
	name, ok := roomOf(w, r)
	if !ok {
		return
	}
	if err := d.mayJoin(r.Context(), p); err != nil {
		d.fail(w, err)
		return
	}
	_, err := d.im.JoinUntilOffline(r.Context(), p.id, groupOfRoom(name))
	d.answerRoom(w, r, name, err)
}

// mayJoin refuses those who are in many rooms, and those who are offline: their membership would wait for them to
// come, maybe for ever.
func (d *Demo) mayJoin(ctx context.Context, p person) error {
	online, err := d.im.Online(ctx, p.id)
	if err != nil {
		return err
	}
	if !online[p.id] {
		return &refusal{http.StatusConflict, "offline", "You are not connected. Try again when you are."}
	}
	in, err := d.roomsOf(ctx, p.id)
	if err != nil {
		return err
	}
	if len(in) >= maxRoomsJoined {
		return &refusal{http.StatusConflict, "too_many_rooms",
			fmt.Sprintf("Leave a room first: nobody can be in more than %d.", maxRoomsJoined)}
	}
	return nil
}

// leave answers POST /demo/rooms/leave.
func (d *Demo) leave(w http.ResponseWriter, r *http.Request, p person) {
	name, ok := roomOf(w, r)
	if !ok {
		return
	}
	_, err := d.im.Leave(r.Context(), p.id, groupOfRoom(name))
	d.answerRoom(w, r, name, err)
}

// answerRoom tells how full a room is after a change.
func (d *Demo) answerRoom(w http.ResponseWriter, r *http.Request, name string, err error) {
	if err != nil {
		d.fail(w, err)
		return
	}
	g, err := d.im.Group(r.Context(), groupOfRoom(name))
	if err != nil {
		d.fail(w, err)
		return
	}
	answer(w, http.StatusOK, room{name, g.Members, g.Online})
}

// roomOf reads {room}; when it is not ok the request has been answered.
func roomOf(w http.ResponseWriter, r *http.Request) (name string, ok bool) {
	var in struct {
		Room string `json:"room"`
	}
	if !decode(w, r, &in) {
		return "", false
	}
	if name, ok = cleanName(in.Room, maxRoom); !ok {
		refuseRoom(w)
	}
	return name, ok
}

func refuseRoom(w http.ResponseWriter) {
	refuse(w, http.StatusBadRequest, "bad_room",
		fmt.Sprintf("A room's name has 1 to %d characters that can be seen.", maxRoom))
}
