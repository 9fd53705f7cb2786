package socket

import (
	"net/http"
	"testing"
)

// The key and its answer are those of RFC 6455 §1.3.
func TestHandshake(t *testing.T) {
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		ok     bool
	}{
		{"ordinary", func(*http.Request) {}, true},
		{"a browser's", func(r *http.Request) { r.Header.Set("Connection", "keep-alive, Upgrade") }, true},
		{"lists over several lines", func(r *http.Request) { r.Header["Connection"] = []string{"keep-alive", "x ,UPGRADE"} }, true},
		{"white space around the key", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "\t"+key+" ") }, true},
		{"capital letters", func(r *http.Request) { r.Header.Set("Upgrade", "WebSocket") }, true},
		{"no key", func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }, false},
		{"two keys", func(r *http.Request) { r.Header.Add("Sec-WebSocket-Key", key) }, false},
		{"a short key", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", key[4:]) }, false},
		{"a long key", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "AAAA"+key) }, false},
		{"a key of 18 bytes", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAAAA") }, false},
		{"a key of 17 bytes", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAAA=") }, false},
		{"a key that is no base64", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "!"+key[1:]) }, false},
		{"no upgrade", func(r *http.Request) { r.Header.Del("Upgrade") }, false},
		{"an upgrade to something else", func(r *http.Request) { r.Header.Set("Upgrade", "h2c") }, false},
		{"no connection", func(r *http.Request) { r.Header.Set("Connection", "keep-alive") }, false},
		{"another version", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, false},
		{"a POST", func(r *http.Request) { r.Method = http.MethodPost }, false},
		{"HTTP/1.0", func(r *http.Request) { r.ProtoMinor = 0 }, false},
		{"HTTP/2", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{Method: http.MethodGet, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}}
			for k, v := range map[string]string{
				"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
			} {
				r.Header.Set(k, v)
			}
			tt.change(r)
			h, ok := ReadHandshake(r)
			if ok != tt.ok || h.Subprotocol {
				t.Fatalf("ReadHandshake = %+v, %v", h, ok)
			}
			if !ok {
				return
			}
			const answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
				"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
			if got := string(h.answer()); got != answer+"\r\n\r\n" {
				t.Errorf("answer %q", got)
			}
			r.Header.Set("Sec-WebSocket-Protocol", "chat, "+Subprotocol)
			h, ok = ReadHandshake(r)
			if got := string(h.answer()); !ok || got != answer+"\r\nSec-WebSocket-Protocol: "+Subprotocol+"\r\n\r\n" {
				t.Errorf("answer with the sub-protocol %q, %v", got, ok)
			}
		})
	}
}
