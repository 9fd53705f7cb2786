package imhelper

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// What is encoded can be decoded, the zero values of times, positions and bytes too.
func TestJSONRoundTrip(t *testing.T) {
	at, pos := time.UnixMilli(1_700_000_000_123), protocol.Position{Epoch: 17, Seq: 4}
	connection := Connection{ConnID: "c", Device: "web", Node: "n", Since: at, IP: "192.0.2.1", JTI: "j", Meta: json.RawMessage(`{"a":1}`)}
	for _, c := range []struct {
		in   any // a pointer
		want string
	}{
		{&Connect{URL: "ws://h/ws", ClientID: "ann", JTI: "j", ExpiresAt: at}, `{"url":"ws://h/ws","clientId":"ann","jti":"j","expiresAt":1700000000123}`},
		{
			&SendResult{ID: "m", Results: []Delivery{{ClientID: "ann", Pos: pos, State: StateRead}, {ClientID: "bob", Online: true, Duplicate: true}}},
			`{"id":"m","results":[{"clientId":"ann","pos":"17-4","online":false,"state":"read"},{"clientId":"bob","online":true,"duplicate":true}]}`,
		},
		{&PostResult{ID: "m", Pos: pos, Duplicate: true}, `{"id":"m","pos":"17-4","duplicate":true}`},
		{&PostResult{ID: "m"}, `{"id":"m"}`},
		{
			&History{Messages: []HistoryMessage{
				{ID: "m", Pos: pos, From: "ann", Time: at, Data: json.RawMessage(`[1]`)}, {ID: "n", Pos: pos, Time: at, Binary: []byte{}},
			}, Next: pos},
			`{"messages":[{"id":"m","pos":"17-4","from":"ann","data":[1],"time":1700000000123},` +
				`{"id":"n","pos":"17-4","binary":"","time":1700000000123}],"next":"17-4"}`,
		},
		{&History{Messages: []HistoryMessage{}}, `{"messages":[],"next":""}`},
		{
			&Client{ClientID: "ann", Online: true, Groups: []string{"g"}, Connections: []Connection{connection}},
			`{"clientId":"ann","online":true,"groups":["g"],"connections":[{"connId":"c","device":"web","node":"n","ip":"192.0.2.1",` +
				`"jti":"j","meta":{"a":1},"since":1700000000123}]}`,
		},
		{
			&Client{ClientID: "ann", LastSeen: at, Groups: []string{}, Connections: []Connection{}},
			`{"clientId":"ann","online":false,"groups":[],"connections":[],"lastSeen":1700000000123}`,
		},
		{
			&Node{ID: "n", URL: "ws://h/ws", Started: at, Connections: 3, Draining: true},
			`{"id":"n","url":"ws://h/ws","connections":3,"draining":true,"started":1700000000123,"renewed":0}`,
		},
		{
			&DeadLetter{ID: "1-0", Key: "evt", Body: json.RawMessage(`{}`), Error: "500", Attempts: 6, Time: at},
			`{"id":"1-0","webhookId":"evt","body":{},"error":"500","attempts":6,"time":1700000000123}`,
		},
	} {
		text, err := json.Marshal(c.in)
		if err != nil || string(text) != c.want {
			t.Errorf("%T: %s, want %s, %v", c.in, text, c.want, err)
			continue
		}
		got := reflect.New(reflect.TypeOf(c.in).Elem())
		if err := json.Unmarshal(text, got.Interface()); err != nil || !reflect.DeepEqual(got.Interface(), c.in) {
			t.Errorf("%s was read as %+v, %v", text, got.Interface(), err)
		}
	}
	for _, bad := range []string{`{"next":"x"}`, `{"messages":[{"pos":"7"}]}`, `{"messages":[{"time":"now"}]}`} {
		if err := json.Unmarshal([]byte(bad), new(History)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
