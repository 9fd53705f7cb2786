package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// What imhelper returns is, as JSON, what the route for it answers: pages need not know which of the two a backend uses.
func TestImhelperEncodesWhatRoutesAnswer(t *testing.T) {
	f := start(t)
	h, err := imhelper.New(t.Context(), imhelper.Options{Store: f.store, SigningKeys: signingKeys})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	f.node("node-1")
	f.connected("ann", "web")
	f.join("ann", "room")
	f.join("bob", "room")
	f.goOffline("eve")
	ctx := t.Context()
	try := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	try("keep a letter", h.KeepDeadLetter(ctx, imhelper.DeadLetter{Key: "evt_1", Body: []byte(`{"a":1}`), Error: "500", Attempts: 6}))
	same := func(a answer, returned any, except ...string) {
		t.Helper()
		var want any
		a.into(http.StatusOK, &want)
		text, err := json.Marshal(returned)
		try("encode", err)
		var got any
		try("decode", json.Unmarshal(text, &got))
		if got, want := without(got, except), without(want, except); !reflect.DeepEqual(got, want) {
			t.Errorf("%T is\n\t%v, the route answers\n\t%v", returned, got, want)
		}
	}
	get := func(path string) answer { t.Helper(); return f.call(http.MethodGet, path, "") }
	post := func(path, body string) answer { t.Helper(); return f.call(http.MethodPost, path, body) }

	connect, err := h.PreConnect(ctx, imhelper.ConnectRequest{ClientID: "ann"})
	try("pre-connect", err)
	same(post("/v1/connect", `{"clientId":"ann"}`), connect, "url", "jti", "expiresAt")

	data := json.RawMessage(`{"text":"hi"}`)
	for _, id := range []string{"m1", "m1"} { // the second is a duplicate for both
		sent, err := h.Send(ctx, imhelper.Message{To: []string{"ann", "bob"}, From: "eve", Data: data, ID: id + "h"})
		try("send", err)
		same(post("/v1/messages", `{"to":["ann","bob"],"from":"eve","data":{"text":"hi"},"id":"`+id+`w"}`), sent, "id", "pos")
	}
	waited, err := h.Send(ctx, imhelper.Message{To: []string{"bob"}, Data: data, ID: "m2", Wait: time.Millisecond})
	try("send", err)
	same(post("/v1/messages", `{"to":"bob","data":1,"waitMs":1,"id":"m3"}`), waited, "id", "pos")
	ephemeral, err := h.Send(ctx, imhelper.Message{To: []string{"ann"}, Data: data, ID: "m4", Ephemeral: true})
	try("send", err)
	same(post("/v1/messages", `{"to":"ann","data":1,"ephemeral":true,"id":"m4"}`), ephemeral)
	for range 2 {
		posted, err := h.SendGroup(ctx, imhelper.GroupMessage{Group: "room", Data: data, ID: "m5"})
		try("send to group", err)
		same(post("/v1/groups/room/messages", `{"data":1,"id":"m6"}`), posted, "id", "pos")
	}
	_, err = h.SendGroup(ctx, imhelper.GroupMessage{Group: "room", From: "ann", Binary: []byte{}})
	try("send to group", err)
	all, err := h.Broadcast(ctx, imhelper.BroadcastMessage{Data: data, ID: "m7", Ephemeral: true})
	try("broadcast", err)
	same(post("/v1/broadcast", `{"data":1,"ephemeral":true,"id":"m7"}`), all)

	for _, limit := range []string{"2", "100"} {
		q := imhelper.HistoryQuery{Limit: map[string]int{"2": 2, "100": 100}[limit]}
		history, err := h.History(ctx, protocol.GroupOf("room"), q)
		try("history", err)
		same(get("/v1/groups/room/messages?limit="+limit), history)
		history, err = h.History(ctx, protocol.InboxOf("ann"), q)
		try("history", err)
		same(get("/v1/clients/ann/messages?limit="+limit), history)
	}
	for _, id := range []string{"ann", "bob", "eve", "never"} {
		client, err := h.Client(ctx, id)
		try("client", err)
		same(get("/v1/clients/"+id), client)
	}
	online, err := h.Online(ctx, "ann", "bob")
	try("online", err)
	same(post("/v1/clients/query", `{"clientIds":["ann","bob"]}`), map[string]any{"online": online})
	groups, next, err := h.Groups(ctx, "", 0)
	try("groups", err)
	same(get("/v1/groups"), map[string]any{"groups": groups, "next": next})
	members, next, err := h.GroupMembers(ctx, "room", "", 0)
	try("members", err)
	same(get("/v1/groups/room/members"), map[string]any{"members": members, "next": next})
	group, err := h.Group(ctx, "room")
	try("group", err)
	options, err := h.GroupOptions(ctx, "room")
	try("options", err)
	same(get("/v1/groups/room"), struct {
		imhelper.GroupInfo
		imhelper.GroupOptions
	}{group, options})
	nodes, err := h.Nodes(ctx)
	try("nodes", err)
	same(get("/v1/nodes"), map[string]any{"nodes": nodes}, "renewed")
	stats, err := h.Stats(ctx)
	try("stats", err)
	same(get("/v1/stats"), stats)
	letters, next, err := h.DeadLetters(ctx, "", 0)
	try("dead letters", err)
	same(get("/v1/webhook/dead-letters"), map[string]any{"deadLetters": letters, "next": next})
}

// without replaces the values of some fields by their types: they differ from call to call.
func without(v any, fields []string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if v[k] = without(x, fields); slices.Contains(fields, k) {
				v[k] = reflect.TypeOf(x).String()
			}
		}
	case []any:
		for i, x := range v {
			v[i] = without(x, fields)
		}
	}
	return v
}

// goOffline makes a client that was online a moment ago.
func (f *fixture) goOffline(clientID string) {
	f.t.Helper()
	st, err := store.Open(f.t.Context(), store.Options{URL: f.redis.URL(), Partitions: 16, OfflineGrace: -1})
	if err != nil {
		f.t.Fatal(err)
	}
	defer st.Close()
	if err := st.Disconnect(f.t.Context(), "node-1", []store.ConnRef{{ClientID: clientID, ConnID: f.connected(clientID, "web")}}); err != nil {
		f.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(f.t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { _ = st.RunJanitor(ctx, "node-1", func(error) {}) })
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		c, err := st.Client(f.t.Context(), clientID)
		if err == nil && !c.LastSeen.IsZero() {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%+v, %v", c, err)
		}
	}
}
