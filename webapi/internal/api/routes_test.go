package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/ticket"
)

func TestConnectIssuesASignedURL(t *testing.T) {
	f := start(t)
	f.call("POST", "/v1/connect", `{"clientId":"alice"}`).problem(503, codeNoNode, "")
	f.node("node-1")
	eventually(t, func() bool { return f.call("POST", "/v1/connect", `{"clientId":"alice"}`).status == 200 })

	before := time.Now()
	got := f.call("POST", "/v1/connect",
		`{"clientId":"alice","device":"web","meta":{"n":1},"groups":["a","b","a"],"untilOffline":true,"mayRequest":true,"ttl":20}`)
	var out connectOut
	after := time.Now()
	got.into(http.StatusOK, &out)
	if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the answer may be kept: %v", got.header)
	}
	token, ok := strings.CutPrefix(out.URL, nodeURL+"?token=")
	if !ok || out.ClientID != "alice" {
		t.Fatalf("answer %+v", out)
	}
	keys, err := ticket.ParseKeys(signingKeys)
	if err != nil {
		t.Fatal(err)
	}
	c, err := keys.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	if c.ClientID != "alice" || c.Device != "web" || string(c.Meta) != `{"n":1}` || !slices.Equal(c.Groups, []string{"a", "b"}) ||
		!c.UntilOffline || !c.MayRequest || c.ExpiresAt.UnixMilli() != out.ExpiresAt {
		t.Errorf("claims %+v", c)
	}
	if life := 20 * time.Second; c.ExpiresAt.Before(before.Truncate(time.Millisecond).Add(life)) || c.ExpiresAt.After(after.Add(life)) {
		t.Errorf("made between %v and %v, it lives until %v, want %v", before, after, c.ExpiresAt, life)
	}
	for _, e := range f.logs.All() {
		if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, token[:30]) || strings.Contains(text, apiKey) {
			t.Errorf("a secret is in the log: %s", text)
		}
	}
}

func TestSendReachesEveryInboxOnce(t *testing.T) {
	f := start(t)
	f.connected("bob", "web")
	var out sendOut
	f.call("POST", "/v1/messages", `{"to":["alice","bob","alice"],"from":"carl","data":{"a": [1,2]}}`).into(200, &out)
	if len(out.Results) != 2 || out.Results[0].ClientID != "alice" || out.Results[0].Online || !out.Results[1].Online || out.Duplicate {
		t.Fatalf("answer %+v", out)
	}
	var h historyOut
	f.call("GET", "/v1/clients/alice/messages", "").into(200, &h)
	if len(h.Messages) != 1 || h.Messages[0].ID != out.ID || h.Messages[0].Pos != out.Results[0].Pos ||
		h.Messages[0].From != "carl" || string(h.Messages[0].Data) != `{"a":[1,2]}` {
		t.Errorf("alice has %+v", h)
	}
	if age := time.Since(time.UnixMilli(h.Messages[0].Time)); age < 0 || age > time.Minute {
		t.Errorf("the message is %v old", age)
	}
}

func TestSendVariants(t *testing.T) {
	f := start(t)
	inbox := func(id string) (ids []string) {
		var h historyOut
		f.call("GET", "/v1/clients/"+id+"/messages", "").into(200, &h)
		for _, m := range h.Messages {
			ids = append(ids, m.ID)
		}
		return ids
	}
	var out sendOut
	f.call("POST", "/v1/messages", `{"to":"a","from":"b","id":"echo-1","data":1,"echo":true}`).into(200, &out)
	if len(out.Results) != 1 || !slices.Equal(inbox("a"), []string{"echo-1"}) || !slices.Equal(inbox("b"), []string{"echo-1"}) {
		t.Errorf("echo: %+v, a has %v, b has %v", out, inbox("a"), inbox("b"))
	}
	f.call("POST", "/v1/messages", `{"to":["c","d"],"from":"c","id":"echo-2","data":1,"echo":true}`).into(200, &out)
	if !slices.Equal(inbox("c"), []string{"echo-2"}) {
		t.Errorf("echo to a receiver: c has %v", inbox("c"))
	}
	out = sendOut{}
	f.call("POST", "/v1/messages", `{"to":"e","data":1,"ephemeral":true}`).into(200, &out)
	if len(inbox("e")) != 0 || out.Results[0].Pos != "" || out.ID == "" {
		t.Errorf("ephemeral: %+v, e has %v", out, inbox("e"))
	}
	f.call("POST", "/v1/messages", `{"to":"f","binary":"AAH/","ttl":60,"exceptConn":"0000aaaaaaaaaaaaaaaa"}`).into(200, &out)
	var h historyOut
	f.call("GET", "/v1/clients/f/messages", "").into(200, &h)
	if len(h.Messages) != 1 || h.Messages[0].Data != nil || string(*h.Messages[0].Binary) != "\x00\x01\xff" {
		t.Errorf("binary: %+v", h.Messages)
	}
	f.call("POST", "/v1/messages", `{"to":"g","binary":""}`).into(200, &out)
	f.call("POST", "/v1/messages", `{"to":"h","data":null}`).into(200, &out)
	f.call("POST", "/v1/messages", `{"to":"h","data":"`+strings.Repeat("x", 2046)+`"}`).into(200, &out)
	if n := len(inbox("h")); n != 2 {
		t.Errorf("h has %d messages", n)
	}
}

func TestTheSameIDIsSentOnce(t *testing.T) {
	f := start(t)
	var first, again, other sendOut
	const body = `{"to":["a","b"],"from":"x","id":"m-1","data":1}`
	f.call("POST", "/v1/messages", body).into(200, &first)
	f.call("POST", "/v1/messages", body).into(200, &again)
	if first.Duplicate || !again.Duplicate || again.ID != "m-1" ||
		again.Results[0].Pos != first.Results[0].Pos || !again.Results[1].Duplicate {
		t.Errorf("first %+v, again %+v", first, again)
	}
	f.call("POST", "/v1/messages", strings.Replace(body, `"x"`, `"y"`, 1)).into(200, &other)
	if other.Duplicate {
		t.Errorf("another sender's id counts as the same: %+v", other)
	}
	var g1, g2 postOut
	f.call("POST", "/v1/groups/g/messages", `{"id":"m-1","data":1}`).into(200, &g1)
	f.call("POST", "/v1/groups/g/messages", `{"id":"m-1","data":2}`).into(200, &g2)
	if g1.Duplicate || !g2.Duplicate || g1.Pos != g2.Pos {
		t.Errorf("group: %+v, %+v", g1, g2)
	}
	f.call("POST", "/v1/broadcast", `{"id":"m-1","data":1}`).into(200, &g1)
	g2 = postOut{}
	f.call("POST", "/v1/broadcast", `{"id":"m-1","data":1}`).into(200, &g2)
	if g1.Pos == "" || !g2.Duplicate || g1.Pos != g2.Pos {
		t.Errorf("broadcast: %+v, %+v", g1, g2)
	}
}

func TestThousandReceivers(t *testing.T) {
	f := start(t)
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprintf("c%d", i)
	}
	body, err := json.Marshal(map[string]any{"to": ids, "data": "x", "from": "echoed", "echo": true})
	if err != nil {
		t.Fatal(err)
	}
	var out sendOut
	f.call("POST", "/v1/messages", string(body)).into(200, &out)
	if len(out.Results) != 1000 {
		t.Fatalf("%d results", len(out.Results))
	}
	for i, r := range out.Results {
		if r.ClientID != ids[i] || r.Pos == "" {
			t.Fatalf("result %d is %+v", i, r)
		}
	}
	var h historyOut
	f.call("GET", "/v1/clients/echoed/messages", "").into(200, &h)
	if len(h.Messages) != 1 {
		t.Errorf("the echo: %+v", h)
	}
}

func TestBatchAnswersEachSend(t *testing.T) {
	f := start(t)
	var out struct{ Results []map[string]any }
	f.call("POST", "/v1/batch", `{"sends":[
		{"kind":"direct","to":"a","data":1,"id":"m1"},
		{"kind":"group","group":"g","from":"a","data":2,"exceptSender":true},
		{"kind":"group","group":"","data":2},
		{"kind":"group","group":"g","data":2,"to":"x"},
		{"kind":"broadcast","data":3,"devices":["tv"]},
		{"kind":"later","data":3},
		{"data":3},
		7,
		{"kind":"direct","to":"c","data":1,"receipt":"read","waitMs":5},
		{"kind":"direct","to":["a","b"],"data":2,"from":"s","echo":true}]}`).into(200, &out)
	if len(out.Results) != 10 {
		t.Fatalf("%d results", len(out.Results))
	}
	for i, want := range []string{"", "", "group", "to", "", "kind", "kind", "-", "waitMs", ""} {
		r := out.Results[i]
		switch {
		case want == "" && (r["id"] == nil || r["code"] != nil):
			t.Errorf("send %d: %v", i, r)
		case want != "" && (r["status"] != 400.0 || r["code"] == nil || want != "-" && r["field"] != want):
			t.Errorf("send %d: %v, want a problem of %s", i, r, want)
		}
	}
	var h historyOut
	f.call("GET", "/v1/clients/a/messages?after=0-0", "").into(200, &h)
	f.call("GET", "/v1/clients/a/messages", "").into(200, &h)
	if len(h.Messages) != 2 || h.Messages[1].ID != "m1" {
		t.Errorf("a has %+v", h.Messages)
	}
	all := `{"sends":[` + strings.TrimSuffix(strings.Repeat(`{"kind":"direct","to":"z","data":1},`, 1000), ",") + `]}`
	f.call("POST", "/v1/batch", all).into(200, &out)
	if len(out.Results) != 1000 || out.Results[999]["code"] != nil {
		t.Errorf("a thousand: %v", out.Results[999])
	}
}

func TestGroupLife(t *testing.T) {
	f := start(t)
	g := "/v1/groups/" + url.PathEscape("räume/1?")
	var changed changeOut
	f.call("POST", g+"/members", `{"add":["a","b","c","a"]}`).into(200, &changed)
	if changed.Added != 3 {
		t.Errorf("added %+v", changed)
	}
	f.call("PUT", g+"/members/"+url.PathEscape("d/1"), `{"untilOffline":true}`).into(204, nil)
	f.call("PUT", g+"/members/a", "").into(204, nil)
	f.call("DELETE", g+"/members/b", "").into(204, nil)
	f.call("DELETE", g+"/members/nobody", "").into(204, nil)
	f.call("POST", g+"/members", `{"add":["e","f"],"remove":["c","nobody"]}`).into(200, &changed)
	if changed != (changeOut{Added: 2, Removed: 1}) {
		t.Errorf("changed %+v", changed)
	}
	f.connected("a", "web")

	var ids []string
	for path := g + "/members?limit=2"; ; {
		var page membersOut
		f.call("GET", path, "").into(200, &page)
		for _, m := range page.Members {
			ids = append(ids, m.ClientID)
			if m.Online != (m.ClientID == "a") {
				t.Errorf("member %+v", m)
			}
		}
		if page.Next == "" {
			break
		}
		path = g + "/members?limit=2&cursor=" + url.QueryEscape(page.Next)
	}
	if !slices.Equal(ids, []string{"a", "d/1", "e", "f"}) {
		t.Errorf("members %q", ids)
	}
	var one groupOut
	f.call("GET", g, "").into(200, &one)
	if one != (groupOut{"räume/1?", 4, 1}) {
		t.Errorf("group %+v", one)
	}
	var list groupsOut
	f.call("GET", "/v1/groups", "").into(200, &list)
	if len(list.Groups) != 1 || list.Groups[0] != one || list.Next != "" {
		t.Errorf("groups %+v", list)
	}
	var who clientOut
	f.call("GET", "/v1/clients/a", "").into(200, &who)
	if !slices.Equal(who.Groups, []string{"räume/1?"}) {
		t.Errorf("a is in %q", who.Groups)
	}
	f.call("DELETE", g, "").into(204, nil)
	f.call("GET", g, "").into(200, &one)
	f.call("GET", "/v1/groups", "").into(200, &list)
	if one.Members != 0 || len(list.Groups) != 0 {
		t.Errorf("dissolved: %+v, %+v", one, list)
	}
}

func TestHistoryGoesBothWays(t *testing.T) {
	f := start(t)
	for i := range 7 {
		var out postOut
		f.call("POST", "/v1/groups/g/messages", fmt.Sprintf(`{"data":%d,"id":"m%d"}`, i, i)).into(200, &out)
	}
	read := func(query string) (ids, next string) {
		var h historyOut
		f.call("GET", "/v1/groups/g/messages?"+query, "").into(200, &h)
		for _, m := range h.Messages {
			ids += strings.TrimPrefix(m.ID, "m")
		}
		return ids, h.Next
	}
	ids, next := read("limit=3")
	older, end := read("limit=9&before=" + next)
	if ids != "654" || older != "3210" || end != "" {
		t.Errorf("back: %s, then %s, next %q", ids, older, end)
	}
	first, _ := protocol.ParsePosition(next)
	start := protocol.Position{Epoch: first.Epoch}.String()
	ids, next = read("limit=3&after=" + start)
	newer, _ := read("after=" + next)
	if ids != "012" || newer != "3456" {
		t.Errorf("on: %s, then %s", ids, newer)
	}
	if oldest, _ := read("limit=3&after=0-0"); oldest != "012" {
		t.Errorf("from before everything: %s", oldest)
	}
	between, end := read("limit=9&after=" + start + "&before=" + next)
	if between != "01" || end != "" {
		t.Errorf("between: %s, next %q", between, end)
	}
	if none, _ := read("after=9999999999999999-1"); none != "" {
		t.Errorf("behind the end: %s", none)
	}
}

func TestClientsAndTheirConnections(t *testing.T) {
	f := start(t)
	f.node("node-1")
	web := f.connected("a", "web")
	f.connected("a", "tv")
	f.connected("b", "web")
	var list clientsOut
	f.call("GET", "/v1/clients", "").into(200, &list)
	if len(list.Clients) != 2 {
		t.Errorf("online: %+v", list)
	}
	var page clientsOut
	f.call("GET", "/v1/clients?limit=1", "").into(200, &page)
	if len(page.Clients) != 1 || page.Next == "" {
		t.Errorf("first page: %+v", page)
	}
	var q queryOut
	f.call("POST", "/v1/clients/query", `{"clientIds":["a","x"]}`).into(200, &q)
	if len(q.Online) != 2 || !q.Online["a"] || q.Online["x"] {
		t.Errorf("query: %+v", q)
	}
	var who clientOut
	f.call("GET", "/v1/clients/a", "").into(200, &who)
	if !who.Online || len(who.Connections) != 2 || who.ClientID != "a" {
		t.Fatalf("a is %+v", who)
	}
	c := who.Connections[slices.IndexFunc(who.Connections, func(c connectionOut) bool { return c.ConnID == web })]
	if c.JTI != web || c.Device != "web" || c.Node != "node-1" || c.IP != "192.0.2.1" || string(c.Meta) != `{"nick":"N"}` || c.Since == 0 {
		t.Errorf("connection %+v", c)
	}
	nobody := f.call("GET", "/v1/clients/nobody", "")
	if nobody.body != `{"clientId":"nobody","online":false,"groups":[],"connections":[]}` {
		t.Errorf("nobody is %s", nobody.body)
	}
	var closed closedOut
	f.call("DELETE", "/v1/clients/a/connections?device=tv", "").into(200, &closed)
	if closed.Closed != 1 {
		t.Errorf("closed %+v", closed)
	}
	f.call("DELETE", "/v1/clients/nobody/connections", "").into(200, &closed)
	if closed.Closed != 0 {
		t.Errorf("closed %+v of nobody", closed)
	}
	f.call("DELETE", "/v1/connections/"+web, "").into(204, nil)
}

func TestRevocations(t *testing.T) {
	f := start(t)
	f.node("node-1")
	var u connectOut
	f.call("POST", "/v1/connect", `{"clientId":"a","policy":"one-per-device"}`).into(200, &u)
	if u.JTI == "" {
		t.Errorf("no jti in %+v", u)
	}
	allowed := func() bool {
		_, err := f.store.Connect(t.Context(), store.Session{
			JTI: u.JTI, JTITTL: time.Minute, ClientID: "a", ConnID: protocol.NewConnID(f.store.Partition("a")), Node: "n", Device: "d",
		})
		return err == nil
	}
	for _, who := range []string{`"clientId":"a"`, `"jti":"` + u.JTI + `"`} {
		var out revokeOut
		f.call("POST", "/v1/revocations", `{`+who+`,"minutes":2}`).into(200, &out)
		if left := time.Until(time.UnixMilli(out.Until)); left < time.Minute || left > 2*time.Minute {
			t.Errorf("until %v", out.Until)
		}
		if allowed() {
			t.Errorf("%s has no effect", who)
		}
		f.call("POST", "/v1/revocations", `{`+who+`,"minutes":0}`).into(200, &out)
	}
	if !allowed() {
		t.Error("it is not lifted")
	}
}

func TestClusterRoutes(t *testing.T) {
	f := start(t)
	f.node("node-1")
	f.node("node-2")
	f.connected("a", "web")
	f.call("PUT", "/v1/groups/g/members/a", "").into(204, nil)
	var nodes nodesOut
	f.call("GET", "/v1/nodes", "").into(200, &nodes)
	if len(nodes.Nodes) != 2 || nodes.Nodes[0].ID != "node-1" || nodes.Nodes[0].URL != nodeURL || nodes.Nodes[0].Connections != 7 ||
		nodes.Nodes[0].Started == 0 || nodes.Nodes[0].Renewed == 0 || nodes.Nodes[0].Draining {
		t.Errorf("nodes %+v", nodes)
	}
	var s statsOut
	f.call("GET", "/v1/stats", "").into(200, &s)
	if s != (statsOut{Nodes: 2, Connections: 14, Clients: 1, Groups: 1}) {
		t.Errorf("stats %+v", s)
	}
	f.call("POST", "/v1/nodes/node-1/drain", "").into(204, nil)
	f.call("GET", "/v1/nodes", "").into(200, &nodes)
	if !nodes.Nodes[0].Draining || nodes.Nodes[1].Draining {
		t.Errorf("after draining: %+v", nodes)
	}
}

func TestPagesAreServedWithoutAKey(t *testing.T) {
	f := start(t)
	for path, kind := range map[string]string{
		"/openapi.json": "application/json", "/docs": "text/html", "/docs/docs.js": "text/javascript", "/docs/docs.css": "text/css",
	} {
		got := f.call("GET", path, "", "Accept", "*/*")
		if got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
		if strings.HasPrefix(path, "/docs") {
			csp := got.header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("%s: policy %q", path, csp)
			}
			if strings.Contains(got.body, "http://") || strings.Contains(got.body, "https://") {
				t.Errorf("%s names an outside host", path)
			}
		}
	}
}

// eventually polls until cond holds.
func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatal("it did not happen within 30 s")
		case <-tick.C:
		}
	}
}
