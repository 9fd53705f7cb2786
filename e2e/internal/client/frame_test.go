package client

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestFrame(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       Frame
	}{
		{"started", `{"type":"started","pos":{"inbox":"5-1"},"recovered":{"inbox":true}}`,
			Frame{Type: "started", At: map[string]string{"inbox": "5-1"}, Recovered: map[string]bool{"inbox": true}}},
		{"message", `{"type":"message","stream":"inbox","pos":"5-2","id":"m","from":"bob","time":7,"data":{"key":"k"}}`,
			Frame{Type: "message", Stream: "inbox", Pos: "5-2", ID: "m", From: "bob", Time: 7, Data: json.RawMessage(`{"key":"k"}`)}},
		{"ephemeral", `{"type":"message","stream":"all","id":"m","time":7,"data":1}`,
			Frame{Type: "message", Stream: "all", ID: "m", Time: 7, Data: json.RawMessage(`1`)}},
		{"gap", `{"type":"gap","stream":"all","from":"5-2","to":"9-1"}`, Frame{Type: "gap", Stream: "all", From: "5-2", To: "9-1"}},
		{"joined", `{"type":"joined","group":"g","pos":"5-2"}`, Frame{Type: "joined", Group: "g", Pos: "5-2"}},
		{"hello", `{"type":"hello","clientId":"c","session":"s"}`, Frame{Type: "hello", ClientID: "c", Session: "s"}},
		{"receipt", `{"type":"receipt","stream":"inbox","pos":"5-2","id":"m","clientId":"bob","state":"read"}`,
			Frame{Type: "receipt", Stream: "inbox", Pos: "5-2", ID: "m", ClientID: "bob", State: "read"}},
		{"migrate", `{"type":"migrate","url":"ws://h/ws?session=s","withinMs":900}`, Frame{Type: "migrate", URL: "ws://h/ws?session=s"}},
		{"unknown", `{"type":"news","what":1}`, Frame{Type: "news"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got Frame
			if err := json.Unmarshal([]byte(tt.text), &got); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}
