package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const signingKeys = "k:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// rig is a Demo on a real Redis, with one imserver registered.
type rig struct {
	t       *testing.T
	store   *store.Store
	im      *imhelper.Helper
	demo    *Demo
	handler http.Handler
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ctx := context.Background()
	redis := redistest.Start(t)
	s, err := store.Open(ctx, store.Options{URL: redis.URL(), Partitions: 8, OfflineGrace: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	im, err := imhelper.New(ctx, imhelper.Options{Store: s, SigningKeys: signingKeys})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RenewNode(ctx, store.Node{ID: "n1", URL: "ws://node.example/ws", Started: time.Now()}); err != nil {
		t.Fatal(err)
	}
	redis.KeepNode("n1") // who is on a silent one does not count as online
	d, err := New(im, Options{Secret: []byte("secret"), OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, s, im, d, d.Handler()}
}

// user is somebody who chose a nickname, and the connection a test gave them.
type user struct {
	r         *rig
	id, token string
	conn      string
}

func (r *rig) login(name string) *user {
	r.t.Helper()
	status, got := r.call("", "POST", "/demo/session", map[string]any{"name": name})
	if status != http.StatusCreated {
		r.t.Fatalf("login as %q: %d %v", name, status, got)
	}
	return &user{r: r, id: got["clientId"].(string), token: got["token"].(string)}
}

func (r *rig) call(token, method, path string, body any) (status int, answer map[string]any) {
	r.t.Helper()
	var b bytes.Buffer
	switch body := body.(type) {
	case nil:
	case string:
		b.WriteString(body)
	default:
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			r.t.Fatal(err)
		}
	}
	req := httptest.NewRequest(method, path, &b)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		r.t.Fatalf("%s: %v in %q", path, err, w.Body)
	}
	return w.Code, answer
}

func (u *user) call(method, path string, body any) (int, map[string]any) {
	u.r.t.Helper()
	return u.r.call(u.token, method, path, body)
}

func (u *user) ok(method, path string, body any) map[string]any {
	u.r.t.Helper()
	status, got := u.call(method, path, body)
	if status != http.StatusOK {
		u.r.t.Fatalf("%s %v: %d %v", path, body, status, got)
	}
	return got
}

// arrive registers a connection as an imserver does.
func (u *user) arrive(groups ...string) {
	u.r.t.Helper()
	u.conn = protocol.NewConnID(u.r.store.Partition(u.id))
	c, err := u.r.store.Connect(context.Background(), store.Session{
		JTI: u.conn, JTITTL: time.Minute, ClientID: u.id, ConnID: u.conn, Node: "n1", Device: "default",
		Groups: append(groups, lobby), UntilOffline: true,
	})
	if err == nil {
		_, err = u.r.store.SyncGroups(context.Background(), u.id, c.Groups)
	}
	if err != nil {
		u.r.t.Fatal(err)
	}
}

// depart unregisters it.
func (u *user) depart() {
	u.r.t.Helper()
	err := u.r.store.Disconnect(context.Background(), "n1", []store.ConnRef{{ClientID: u.id, ConnID: u.conn}})
	if err != nil {
		u.r.t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
		<-tick.C
	}
}

func TestSessionsAreSigned(t *testing.T) {
	s, err := newSessions([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := newSessions([]byte("another"))
	id := newClientID("Ada")
	now := time.Now()
	good, _ := s.sign(id, now)
	old, _ := s.sign(id, now.Add(-sessionLife-time.Second))
	foreign, _ := other.sign(id, now)
	stranger, _ := s.sign("a-product-user", now)
	unsigned, _ := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": id, "aud": audience, "exp": now.Add(time.Hour).Unix()}).
		SignedString(jwt.UnsafeAllowNoneSignatureType)
	endless, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": id, "aud": audience}).SignedString(s.key)
	elsewhere, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": id, "aud": "x", "exp": now.Add(time.Hour).Unix()}).SignedString(s.key)
	if got, err := s.verify(good); err != nil || got != id {
		t.Errorf("good: %q %v", got, err)
	}
	for name, token := range map[string]string{
		"old": old, "foreign": foreign, "stranger": stranger, "unsigned": unsigned, "endless": endless,
		"elsewhere": elsewhere, "changed": good[:len(good)-4] + "AAAA", "empty": "", "long": good + strings.Repeat("x", maxToken),
	} {
		if got, err := s.verify(token); err == nil {
			t.Errorf("%s: accepted as %q", name, got)
		}
	}
}

func TestEveryRouteButLoginNeedsASession(t *testing.T) {
	r := newRig(t)
	for _, route := range []string{
		"GET /demo/me", "POST /demo/connect", "GET /demo/rooms", "POST /demo/rooms/join", "POST /demo/rooms/leave",
		"GET /demo/people", "POST /demo/messages", "GET /demo/messages",
	} {
		method, path, _ := strings.Cut(route, " ")
		if status, got := r.call("", method, path, nil); status != http.StatusUnauthorized || got["code"] != "no_session" {
			t.Errorf("%s: %d %v", route, status, got)
		}
	}
}

func TestConnectGivesFreshURLsThatJoin(t *testing.T) {
	r := newRig(t)
	ada := r.login("Ada")
	first := ada.ok("POST", "/demo/connect", map[string]any{"rooms": []string{"Lounge"}})["url"].(string)
	second := ada.ok("POST", "/demo/connect", map[string]any{"rooms": []string{}})["url"].(string)
	if first == second || !strings.HasPrefix(first, "ws://node.example/ws?token=") {
		t.Errorf("URLs: %s %s", first, second)
	}
	var claims struct {
		Sub    string
		Groups []string
		jwt.RegisteredClaims
	}
	_, _, err := jwt.NewParser().ParseUnverified(strings.TrimPrefix(first, "ws://node.example/ws?token="), &claims)
	if err != nil || claims.Subject != ada.id {
		t.Errorf("token: %+v %v", claims, err)
	}
}

func TestRoomsHoldMembersWhoAreOnline(t *testing.T) {
	r := newRig(t)
	ada, bo := r.login("Ada"), r.login("Bo")
	if status, got := ada.call("POST", "/demo/rooms/join", map[string]any{"room": "Tea"}); status != http.StatusConflict || got["code"] != "offline" {
		t.Errorf("joining while offline: %d %v", status, got)
	}
	ada.arrive()
	bo.arrive()
	ada.ok("POST", "/demo/rooms/join", map[string]any{"room": " Tea "})
	got := bo.ok("POST", "/demo/rooms/join", map[string]any{"room": "Tea"})
	if got["room"] != "Tea" || got["members"] != 2.0 || got["online"] != 2.0 {
		t.Errorf("after joining: %v", got)
	}
	if rooms := bo.ok("GET", "/demo/me", nil)["rooms"].([]any); len(rooms) != 1 || rooms[0] != "Tea" {
		t.Errorf("my rooms: %v", rooms)
	}
	rooms := bo.ok("GET", "/demo/rooms", nil)["rooms"].([]any)
	if len(rooms) != 2 || rooms[0].(map[string]any)["room"] != firstRoom || rooms[1].(map[string]any)["room"] != "Tea" {
		t.Errorf("rooms: %v", rooms)
	}
	if got := bo.ok("POST", "/demo/rooms/leave", map[string]any{"room": "Tea"}); got["members"] != 1.0 {
		t.Errorf("after leaving: %v", got)
	}
}

func TestPeopleAreThoseOfTheDemoWhoAreOnline(t *testing.T) {
	r := newRig(t)
	ada, bo := r.login("Ada"), r.login("Bo")
	ada.arrive()
	stranger := &user{r: r, id: "a-product-user"}
	stranger.arrive()
	got := bo.ok("GET", "/demo/people", nil)
	people := got["people"].([]any)
	if got["total"] != 1.0 || len(people) != 1 || people[0].(map[string]any)["name"] != "Ada" {
		t.Errorf("people: %v", got)
	}
}

func TestMessagesSayWhoWroteThem(t *testing.T) {
	r := newRig(t)
	ada, bo := r.login("Ada"), r.login("Bo")
	ada.arrive()
	ada.ok("POST", "/demo/rooms/join", map[string]any{"room": "Tea"})
	for i := range 2 { // sent twice, there once
		ada.ok("POST", "/demo/messages", map[string]any{"id": "m1", "to": map[string]any{"room": "Tea"}, "text": " hello "})
		list := ada.ok("GET", "/demo/messages?room=Tea", nil)["messages"].([]any)
		if len(list) != 1 {
			t.Fatalf("attempt %d: %v", i, list)
		}
		m := list[0].(map[string]any)
		data := m["data"].(map[string]any)
		if m["from"] != ada.id || data["kind"] != "chat" || data["text"] != "hello" {
			t.Errorf("message: %v", m)
		}
	}
	ada.ok("POST", "/demo/messages", map[string]any{"id": "m2", "to": map[string]any{"person": bo.id}, "text": "psst"})
	for _, u := range []*user{ada, bo} {
		list := u.ok("GET", "/demo/messages", nil)["messages"].([]any)
		if len(list) != 1 || list[0].(map[string]any)["data"].(map[string]any)["to"] != bo.id {
			t.Errorf("inbox: %v", list)
		}
	}
	ada.ok("POST", "/demo/messages", map[string]any{"id": "m3", "to": map[string]any{"everyone": true}, "text": "all"})
	h, err := r.im.History(t.Context(), protocol.AllStream(), imhelper.HistoryQuery{})
	if err != nil || len(h.Messages) != 1 || h.Messages[0].From != ada.id {
		t.Errorf("broadcasts: %v %v", h, err)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t)
	ada := r.login("Ada")
	text := func(to map[string]any, text string) map[string]any {
		return map[string]any{"id": "m", "to": to, "text": text}
	}
	all := map[string]any{"everyone": true}
	cases := []struct {
		name, method, path string
		body               any
		status             int
		code               string
	}{
		{"no nickname", "POST", "/demo/session", map[string]any{"name": " "}, 400, "bad_name"},
		{"not JSON", "POST", "/demo/session", "{", 400, "bad_json"},
		{"unknown field", "POST", "/demo/messages", `{"from":"demo:Bo~deadbeef"}`, 400, "bad_json"},
		{"large body", "POST", "/demo/messages", text(all, strings.Repeat("x", maxBody)), 413, "too_large"},
		{"empty text", "POST", "/demo/messages", text(all, " \n "), 400, "bad_text"},
		{"long text", "POST", "/demo/messages", text(all, strings.Repeat("x", maxText+1)), 400, "bad_text"},
		{"no id", "POST", "/demo/messages", map[string]any{"to": all, "text": "x"}, 400, "bad_id"},
		{"no receiver", "POST", "/demo/messages", text(map[string]any{}, "x"), 400, "bad_to"},
		{"product's client", "POST", "/demo/messages", text(map[string]any{"person": "u1"}, "x"), 404, "nobody"},
		{"room of others", "POST", "/demo/messages", text(map[string]any{"room": "Tea"}, "x"), 403, "not_a_member"},
		{"history of others", "GET", "/demo/messages?room=Tea", nil, 403, "not_a_member"},
		{"bad room", "POST", "/demo/rooms/join", map[string]any{"room": "\u202e"}, 400, "bad_room"},
		{"bad rooms", "POST", "/demo/connect", map[string]any{"rooms": []string{"a\nb\x00"}}, 400, "bad_room"},
		{"many rooms", "POST", "/demo/connect", map[string]any{"rooms": make([]string, maxRoomsJoined+1)}, 400, "bad_rooms"},
	}
	for _, c := range cases {
		status, got := ada.call(c.method, c.path, c.body)
		if status != c.status || got["code"] != c.code {
			t.Errorf("%s: %d %v, want %d %s", c.name, status, got, c.status, c.code)
		}
	}
}

func TestOneCallerCannotUseUpTheDemo(t *testing.T) {
	r := newRig(t)
	ada, bo := r.login("Ada"), r.login("Bo")
	status := 0
	for n := 0; n < 2*perWindow+1 && status != http.StatusTooManyRequests; n++ { // a new window may begin meanwhile
		status, _ = ada.call("POST", "/demo/rooms/join", "{")
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("after too many: %d", status)
	}
	if status, _ := bo.call("POST", "/demo/rooms/join", "{"); status != http.StatusBadRequest {
		t.Errorf("somebody else: %d", status)
	}
}

// heard collects what a stream's subscribers are told.
type heard struct {
	mu   sync.Mutex
	data []string
}

func (h *heard) Message(_ string, payload []byte) {
	p, err := protocol.DecodePush(payload)
	if err != nil || p.Kind != protocol.PushEphemeral {
		return
	}
	e, err := protocol.DecodeEnvelope(p.Envelope)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.data = append(h.data, string(e.Data))
}
func (h *heard) Lost(error) {}
func (h *heard) Restored()  {}

func (h *heard) has(part string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.data {
		if strings.Contains(d, part) {
			return true
		}
	}
	return false
}

func TestEventsBecomeNotices(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	first, ready := context.WithCancel(ctx) // no event is missed from now on, however late Run begins
	none := func(context.Context, store.Event) error { return nil }
	_ = r.store.ConsumeEvents(first, eventGroup, "first", none, store.ConsumeOptions{Ready: ready})
	running.Go(func() { _ = r.demo.Run(ctx) })
	running.Go(func() { _ = r.store.RunJanitor(ctx, "test", func(error) {}) })

	told := &heard{}
	sub := r.store.NewSubscriber(told)
	running.Go(func() { _ = sub.Run(ctx) })
	soon, end := context.WithTimeout(ctx, 20*time.Second)
	defer end()
	if err := sub.Subscribe(soon, r.store.GroupChannel(r.store.Partition(lobby))); err != nil {
		t.Fatal(err)
	}

	ada, bo := r.login("Ada"), r.login("Bo")
	ada.arrive()
	eventually(t, "the lobby hears that Ada is online", func() bool { return told.has(`"name":"Ada","online":true`) })
	ada.ok("POST", "/demo/rooms/join", map[string]any{"room": "Tea"})
	notices := func() (out []string) { // not through the API, which limits how often one may ask
		h, err := r.im.History(ctx, protocol.GroupOf(groupOfRoom("Tea")), imhelper.HistoryQuery{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range slices.Backward(h.Messages) {
			var n notice
			if err := json.Unmarshal(m.Data, &n); err != nil || n.Kind != "notice" || m.From != "" {
				t.Errorf("not a notice of the system's: %s from %q", m.Data, m.From)
			}
			out = append(out, n.Name+" "+n.Event)
		}
		return out
	}
	eventually(t, "a notice", func() bool { return strings.Join(notices(), ", ") == "Ada enter" })
	bo.arrive(groupOfRoom("Tea")) // as after a reconnect
	eventually(t, "two notices", func() bool { return strings.Join(notices(), ", ") == "Ada enter, Bo enter" })
	eventually(t, "the lobby hears how full the room is", func() bool { return told.has(`"room":"Tea","members":2`) })
	bo.depart()
	eventually(t, "a third", func() bool { return strings.Join(notices(), ", ") == "Ada enter, Bo enter, Bo leave" })
	eventually(t, "the lobby hears that Bo is offline", func() bool { return told.has(`"name":"Bo","online":false`) })
	eventually(t, "and that the room is emptier", func() bool { return told.has(`"room":"Tea","members":1,"online":1`) })
}

func TestAnEventThatComesAgainIsToldOnce(t *testing.T) {
	r := newRig(t)
	e := imhelper.Event{Type: "join", ClientID: newClientID("Ada"), Group: groupOfRoom("Tea"), Key: "1-1"}
	for range 3 {
		if err := r.demo.onEvent(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	h, err := r.im.History(t.Context(), protocol.GroupOf(e.Group), imhelper.HistoryQuery{})
	if err != nil || len(h.Messages) != 1 {
		t.Errorf("%d notices, %v", len(h.Messages), err)
	}
}
