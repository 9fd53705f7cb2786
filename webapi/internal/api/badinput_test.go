package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestBadInputIsRefusedByName(t *testing.T) {
	f := start(t)
	f.node("node-1")
	long := strings.Repeat("x", 129)
	many := func(n int) string {
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf("c%d", i)
		}
		b, _ := json.Marshal(ids)
		return string(b)
	}
	const (
		msg   = "POST /v1/messages"
		group = "POST /v1/groups/g/messages"
		all   = "POST /v1/broadcast"
		conn  = "POST /v1/connect"

		revoke = "POST /v1/revocations"
	)
	for _, c := range []struct {
		name, route, body string
		status            int
		code, field       string
	}{
		{"not JSON", msg, `{`, 400, codeInvalidJSON, ""},
		{"half JSON", msg, `{"to":"a"`, 400, codeInvalidJSON, ""},
		{"a list", msg, `[]`, 400, codeInvalidJSON, ""},
		{"a string", msg, `"x"`, 400, codeInvalidJSON, ""},
		{"something behind", msg, `{"to":"a","data":1} {}`, 400, codeInvalidJSON, ""},
		{"bad UTF-8", msg, "{\"to\":\"a\xff\",\"data\":1}", 400, codeInvalidJSON, ""},
		{"unknown field", msg, `{"to":"a","data":1,"tto":1}`, 400, codeUnknownField, "tto"},
		{"empty body", msg, ``, 400, codeInvalidField, "to"},
		{"no to", msg, `{"data":1}`, 400, codeInvalidField, "to"},
		{"empty to", msg, `{"to":"","data":1}`, 400, codeInvalidField, "to"},
		{"no receivers", msg, `{"to":[],"data":1}`, 400, codeInvalidField, "to"},
		{"to is a number", msg, `{"to":1,"data":1}`, 400, codeInvalidField, "to"},
		{"to holds a number", msg, `{"to":["a",1],"data":1}`, 400, codeInvalidField, "to"},
		{"to is null", msg, `{"to":null,"data":1}`, 400, codeInvalidField, "to"},
		{"long receiver", msg, `{"to":"` + long + `","data":1}`, 400, codeInvalidField, "to"},
		{"control character", msg, `{"to":["a","b\n"],"data":1}`, 400, codeInvalidField, "to[1]"},
		{"1001 receivers", msg, `{"to":` + many(1001) + `,"data":1}`, 400, codeInvalidField, "to"},
		{"no data", msg, `{"to":"a"}`, 400, codeInvalidField, "data"},
		{"data and binary", msg, `{"to":"a","data":1,"binary":"AA=="}`, 400, codeInvalidField, "binary"},
		{"not base64", msg, `{"to":"a","binary":"?"}`, 400, codeInvalidField, "binary"},
		{"large data", msg, `{"to":"a","data":"` + strings.Repeat("x", 2048) + `"}`, 413, codeTooBig, "data"},
		{"large binary", msg, `{"to":"a","binary":"` + strings.Repeat("AAAA", 700) + `"}`, 413, codeTooBig, "binary"},
		{"large body", msg, `{"to":"a","data":"` + strings.Repeat("x", 2<<20) + `"}`, 413, codeTooBig, "body"},
		{"empty from", msg, `{"to":"a","data":1,"from":""}`, 400, codeInvalidField, "from"},
		{"bad from", msg, `{"to":"a","data":1,"from":"\u0007"}`, 400, codeInvalidField, "from"},
		{"long id", msg, `{"to":"a","data":1,"id":"` + long + `"}`, 400, codeInvalidField, "id"},
		{"empty id", msg, `{"to":"a","data":1,"id":""}`, 400, codeInvalidField, "id"},
		{"id is a number", msg, `{"to":"a","data":1,"id":7}`, 400, codeInvalidField, "id"},
		{"ephemeral receipt", msg, `{"to":"a","data":1,"receipt":"delivered","ephemeral":true}`, 400, codeInvalidField, "receipt"},
		{"unknown receipt", msg, `{"to":"a","data":1,"receipt":"maybe"}`, 400, codeInvalidField, "receipt"},
		{"waitMs", msg, `{"to":"a","data":1,"waitMs":30001}`, 400, codeInvalidField, "waitMs"},
		{"negative waitMs", msg, `{"to":"a","data":1,"waitMs":-1}`, 400, codeInvalidField, "waitMs"},
		{"huge waitMs", msg, `{"to":"a","data":1,"waitMs":9223372036854775807}`, 400, codeInvalidField, "waitMs"},
		{"ephemeral waitMs", msg, `{"to":"a","data":1,"waitMs":5,"ephemeral":true}`, 400, codeInvalidField, "waitMs"},
		{"negative ttl", msg, `{"to":"a","data":1,"ttl":-1}`, 400, codeInvalidField, "ttl"},
		{"huge ttl", msg, `{"to":"a","data":1,"ttl":9000000000000000000}`, 400, codeInvalidField, "ttl"},
		{"fractional ttl", msg, `{"to":"a","data":1,"ttl":1.5}`, 400, codeInvalidField, "ttl"},
		{"ephemeral is text", msg, `{"to":"a","data":1,"ephemeral":"yes"}`, 400, codeInvalidField, "ephemeral"},
		{"echo to nobody", msg, `{"to":"a","data":1,"echo":true}`, 400, codeInvalidField, "from"},
		{"long exceptConn", msg, `{"to":"a","data":1,"exceptConn":"` + long + `"}`, 400, codeInvalidField, "exceptConn"},
		{"unknown parameter", msg + "?x=1", `{"to":"a","data":1}`, 400, codeUnknownField, "x"},

		{"group without data", group, `{}`, 400, codeInvalidField, "data"},
		{"group with to", group, `{"to":"a","data":1}`, 400, codeUnknownField, "to"},
		{"nobody to leave out", group, `{"exceptSender":true,"data":1}`, 400, codeInvalidField, "from"},
		{"long group", "POST /v1/groups/" + long + "/messages", `{"data":1}`, 400, codeInvalidField, "group"},
		{"group with a line feed", "POST /v1/groups/a%0Ab/messages", `{"data":1}`, 400, codeInvalidField, "group"},
		{"broadcast without data", all, `{}`, 400, codeInvalidField, "data"},
		{"bad device", all, `{"data":1,"devices":["a",""]}`, 400, codeInvalidField, "devices[1]"},
		{"devices is text", all, `{"data":1,"devices":"a"}`, 400, codeInvalidField, "devices"},
		{"broadcast to one", all, `{"data":1,"exceptSender":true}`, 400, codeUnknownField, "exceptSender"},

		{"no client", conn, `{}`, 400, codeInvalidField, "clientId"},
		{"bad client", conn, `{"clientId":"a\u0000"}`, 400, codeInvalidField, "clientId"},
		{"empty device", conn, `{"clientId":"a","device":""}`, 400, codeInvalidField, "device"},
		{"long device", conn, `{"clientId":"a","device":"` + long[:65] + `"}`, 400, codeInvalidField, "device"},
		{"large meta", conn, `{"clientId":"a","meta":"` + strings.Repeat("m", 4096) + `"}`, 413, codeTooBig, "meta"},
		{"101 groups", conn, `{"clientId":"a","groups":` + many(101) + `}`, 400, codeInvalidField, "groups"},
		{"bad group", conn, `{"clientId":"a","groups":["g",""]}`, 400, codeInvalidField, "groups[1]"},
		{"ttl 0", conn, `{"clientId":"a","ttl":0}`, 400, codeInvalidField, "ttl"},
		{"ttl 61", conn, `{"clientId":"a","ttl":61}`, 400, codeInvalidField, "ttl"},
		{"policy", conn, `{"clientId":"a","policy":"two"}`, 400, codeInvalidField, "policy"},
		{"empty policy", conn, `{"clientId":"a","policy":""}`, 400, codeInvalidField, "policy"},
		{"revoke nothing", revoke, `{"minutes":1}`, 400, codeInvalidField, "clientId"},
		{"revoke without minutes", revoke, `{"clientId":"a"}`, 400, codeInvalidField, "minutes"},
		{"revoke for less than nothing", revoke, `{"clientId":"a","minutes":-1}`, 400, codeInvalidField, "minutes"},
		{"revoke for ever", revoke, `{"jti":"j","minutes":9223372036854775807}`, 400, codeInvalidField, "minutes"},
		{"revoke for a fraction", revoke, `{"jti":"j","minutes":0.5}`, 400, codeInvalidField, "minutes"},
		{"revoke a bad jti", revoke, `{"jti":"a\n","minutes":1}`, 400, codeInvalidField, "jti"},
		{"revoke an empty client", revoke, `{"clientId":"","jti":"j","minutes":1}`, 400, codeInvalidField, "clientId"},
		{"connect body", conn, `{"clientId":"` + strings.Repeat("a", 200<<10) + `"}`, 413, codeTooBig, "body"},
		{"URL too long", conn, `{"clientId":"a","groups":["` + strings.Join(strings.Fields(strings.Repeat(long[:128]+" ", 90)), `x","`) + `"]}`, 400, codeInvalidField, "groups[0]"},

		{"no sends", "POST /v1/batch", `{}`, 400, codeInvalidField, "sends"},
		{"1001 sends", "POST /v1/batch", `{"sends":` + many(1001) + `}`, 400, codeInvalidField, "sends"},
		{"sends is a number", "POST /v1/batch", `{"sends":1}`, 400, codeInvalidField, "sends"},

		{"no change", "POST /v1/groups/g/members", `{}`, 400, codeInvalidField, "add"},
		{"bad member", "POST /v1/groups/g/members", `{"add":["a",""]}`, 400, codeInvalidField, "add[1]"},
		{"bad one to remove", "POST /v1/groups/g/members", `{"add":["a"],"remove":["","b"]}`, 400, codeInvalidField, "remove[0]"},
		{"1001 members", "POST /v1/groups/g/members", `{"add":` + many(1001) + `}`, 400, codeInvalidField, "add"},
		{"bad member in the path", "PUT /v1/groups/g/members/%00", ``, 400, codeInvalidField, "clientId"},
		{"bad member to remove", "DELETE /v1/groups/g/members/%00", ``, 400, codeInvalidField, "clientId"},
		{"bad group in the path", "PUT /v1/groups/%00/members/a", ``, 400, codeInvalidField, "group"},

		{"limit 0", "GET /v1/groups?limit=0", ``, 400, codeInvalidField, "limit"},
		{"limit 1001", "GET /v1/groups?limit=1001", ``, 400, codeInvalidField, "limit"},
		{"limit is text", "GET /v1/clients?limit=x", ``, 400, codeInvalidField, "limit"},
		{"limit twice", "GET /v1/clients?limit=1&limit=2", ``, 400, codeInvalidField, "limit"},
		{"bad cursor", "GET /v1/groups/g/members?cursor=!", ``, 400, codeInvalidField, "cursor"},
		{"bad cursor of groups", "GET /v1/groups?cursor=!", ``, 400, codeInvalidField, "cursor"},
		{"bad cursor of clients", "GET /v1/clients?cursor=!", ``, 400, codeInvalidField, "cursor"},
		{"unknown parameter of a list", "GET /v1/clients?page=2", ``, 400, codeUnknownField, "page"},
		{"bad after", "GET /v1/groups/g/messages?after=1", ``, 400, codeInvalidField, "after"},
		{"bad before", "GET /v1/clients/a/messages?before=x-1", ``, 400, codeInvalidField, "before"},
		{"no ids", "POST /v1/clients/query", `{}`, 400, codeInvalidField, "clientIds"},
		{"bad id", "POST /v1/clients/query", `{"clientIds":["a",""]}`, 400, codeInvalidField, "clientIds[1]"},
		{"1001 ids", "POST /v1/clients/query", `{"clientIds":` + many(1001) + `}`, 400, codeInvalidField, "clientIds"},
		{"bad client in the path", "GET /v1/clients/%00", ``, 400, codeInvalidField, "clientId"},
		{"bad device to close", "DELETE /v1/clients/a/connections?device=" + long, ``, 400, codeInvalidField, "device"},
		{"no such connection", "DELETE /v1/connections/0000aaaaaaaaaaaaaaaa", ``, 404, codeNotFound, ""},
		{"no connection's name", "DELETE /v1/connections/x", ``, 404, codeNotFound, ""},
		{"no such partition", "DELETE /v1/connections/ffffaaaaaaaaaaaaaaaa", ``, 404, codeNotFound, ""},
		{"no such node", "POST /v1/nodes/none/drain", ``, 404, codeNotFound, ""},

		{"no such route", "GET /v2", ``, 404, codeNotFound, ""},
		{"wrong method", "GET /v1/messages", ``, 405, codeMethodNotAllowed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t = t
			method, path, _ := strings.Cut(c.route, " ")
			f.call(method, path, c.body).problem(c.status, c.code, c.field)
		})
	}
	f.t = t
	if n := f.logs.FilterLevelExact(2).Len(); n != 0 { // error
		t.Errorf("bad input was logged as an error: %v", f.logs.All())
	}
	var groups groupsOut
	f.call("GET", "/v1/groups", "").into(http.StatusOK, &groups)
	if len(groups.Groups) != 0 {
		t.Errorf("a refused change was half done: %+v", groups)
	}
}

func TestContentType(t *testing.T) {
	f := start(t)
	for ct, status := range map[string]int{
		"application/json": 200, "application/json; charset=utf-8": 200, "application/vnd.x+json": 200, "": 200,
		"text/plain": 415, "application/x-www-form-urlencoded": 415, "x": 415,
	} {
		a := f.call("POST", "/v1/messages", `{"to":"a","data":1}`, "X-API-Key", apiKey, "Content-Type", ct)
		if a.status != status {
			t.Errorf("%q: %d %s", ct, a.status, a.body)
		}
	}
}

func TestAllowNamesTheMethods(t *testing.T) {
	f := start(t)
	a := f.call("PATCH", "/v1/groups/a%2Fb/members/c", "")
	a.problem(http.StatusMethodNotAllowed, codeMethodNotAllowed, "")
	if got := a.header.Values("Allow"); strings.Join(got, " ") != "PUT DELETE" {
		t.Errorf("Allow: %q", got)
	}
}
