package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/imtier/imtier/pkg/imhelper"
)

// Options of New.
type Options struct {
	// Secret signs sessions, after a key was derived from it. It has to be the same in all webapis. Required.
	Secret []byte
	// OnError is told of what went wrong and is not the caller's fault. Nil ignores it.
	OnError func(error)
}

// Demo is the backend of the demo page.
type Demo struct {
	im       *imhelper.Helper
	sessions *sessions
	limits   *limits
	counts   *counts
	onError  func(error)
}

// New makes a Demo. It starts nothing: mount Handler, and call Run.
func New(im *imhelper.Helper, o Options) (*Demo, error) {
	if len(o.Secret) == 0 {
		return nil, errors.New("demo: Options.Secret is missing")
	}
	s, err := newSessions(o.Secret)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	return &Demo{im: im, sessions: s, limits: newLimits(), counts: newCounts(), onError: o.OnError}, nil
}

// Handler answers all routes under /demo/ that package doc lists.
func (d *Demo) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /demo/session", d.login)
	mux.HandleFunc("GET /demo/me", d.withPerson(d.me))
	mux.HandleFunc("POST /demo/connect", d.withPerson(d.connect))
	mux.HandleFunc("GET /demo/rooms", d.withPerson(d.rooms))
	mux.HandleFunc("POST /demo/rooms/join", d.withPerson(d.join))
	mux.HandleFunc("POST /demo/rooms/leave", d.withPerson(d.leave))
	mux.HandleFunc("GET /demo/people", d.withPerson(d.people))
	mux.HandleFunc("POST /demo/messages", d.withPerson(d.send))
	mux.HandleFunc("GET /demo/messages", d.withPerson(d.history))
	return mux
}

// maxRoomsJoined leaves room in the URL, which carries their names.
const maxRoomsJoined = 30

// connect answers POST /demo/connect. The rooms are those the page was in: a page that was away for longer than the
// grace has been taken out of them.
func (d *Demo) connect(w http.ResponseWriter, r *http.Request, p person) {
	var in struct {
		Rooms []string `json:"rooms"`
	}
	if !decode(w, r, &in) {
		return
	}
	if len(in.Rooms) > maxRoomsJoined {
		refuse(w, http.StatusBadRequest, "bad_rooms", fmt.Sprintf("rooms has more than %d entries.", maxRoomsJoined))
		return
	}
	groups := []string{lobby}
	for _, room := range in.Rooms {
		name, ok := cleanName(room, maxRoom)
		if !ok {
			refuseRoom(w)
			return
		}
		groups = append(groups, groupOfRoom(name))
	}
	meta, err := json.Marshal(map[string]string{"name": p.name})
	if err != nil {
		d.fail(w, fmt.Errorf("encode meta: %w", err))
		return
	}
	c, err := d.im.PreConnect(r.Context(), imhelper.ConnectRequest{
		ClientID: p.id, Meta: meta, Groups: groups, UntilOffline: true,
	})
	if err != nil {
		d.fail(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"url": c.URL, "expiresAt": c.ExpiresAt})
}

// isRoomMember reports whether somebody is in a room.
func (d *Demo) isRoomMember(ctx context.Context, p person, room string) (bool, error) {
	rooms, err := d.roomsOf(ctx, p.id)
	if err != nil {
		return false, err
	}
	for _, r := range rooms {
		if r == room {
			return true, nil
		}
	}
	return false, nil
}
