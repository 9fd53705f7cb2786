package protocol

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// Subprotocol is the WebSocket sub-protocol of the frames below. A connection without it is raw: it gets the
// data of each message and nothing else.
const Subprotocol = "imtier.v1"

// Hello is the first frame of a connection.
type Hello struct {
	ClientID string `json:"clientId"`
	ConnID   string `json:"connId"`
	Node     string `json:"node"`
	Session  string `json:"session,omitempty"` // resume token
	Ping     int    `json:"ping"`              // seconds between the server's pings
}

// Started answers start: where each followed stream begins, and whether nothing can be missing before it.
type Started struct {
	Pos       map[string]Position
	Recovered map[string]bool
}

// Frame encodes the hello.
func (h Hello) Frame() []byte {
	return mustFrame(struct {
		Type string `json:"type"`
		Hello
	}{"hello", h})
}

// Frame encodes the answer to start.
func (s Started) Frame() []byte {
	pos := make(map[string]string, len(s.Pos))
	for k, p := range s.Pos {
		pos[k] = p.String()
	}
	return mustFrame(struct {
		Type      string            `json:"type"`
		Pos       map[string]string `json:"pos"`
		Recovered map[string]bool   `json:"recovered"`
	}{"started", pos, s.Recovered})
}

// PongFrame answers an application-level ping.
func PongFrame() []byte { return []byte(`{"type":"pong"}`) }

// JoinedFrame tells a client that it now follows a group, from after pos.
func JoinedFrame(group string, pos Position) []byte {
	return mustFrame(struct {
		Type  string `json:"type"`
		Group string `json:"group"`
		Pos   string `json:"pos"`
	}{"joined", group, pos.String()})
}

// LeftFrame tells a client that it no longer follows a group.
func LeftFrame(group string) []byte {
	return mustFrame(struct {
		Type  string `json:"type"`
		Group string `json:"group"`
	}{"left", group})
}

// MigrateFrame tells a client to open url, resume there, and close this connection, which ends by itself after within.
func MigrateFrame(url string, within time.Duration) []byte {
	return mustFrame(struct {
		Type     string `json:"type"`
		URL      string `json:"url"`
		WithinMs int64  `json:"withinMs"`
	}{"migrate", url, within.Milliseconds()})
}

// GapFrame tells a client that messages between two positions may be missing.
func GapFrame(stream string, from, to Position) []byte {
	return mustFrame(struct {
		Type   string `json:"type"`
		Stream string `json:"stream"`
		From   string `json:"from"`
		To     string `json:"to"`
	}{"gap", stream, from.String(), to.String()})
}

// MessageFrame encodes one message of a stream; see AppendMessageFrame.
func MessageFrame(stream string, pos Position, e *Envelope) []byte {
	return AppendMessageFrame(make([]byte, 0, MessageFrameSize(stream, e)), stream, pos, e)
}

// MessageFrameSize is about how many bytes AppendMessageFrame will append, and rarely too few.
func MessageFrameSize(stream string, e *Envelope) int {
	size := 128 + len(stream) + len(e.ID) + len(e.From) + len(e.Data)
	if e.Binary {
		size += len(e.Data)/3 + 8
	}
	return size
}

// AppendMessageFrame appends one message of a stream to b; a zero pos (an ephemeral message) is left out. Written without
// reflection: it runs for every message on every imserver.
func AppendMessageFrame(b []byte, stream string, pos Position, e *Envelope) []byte {
	b = append(b, `{"type":"message","stream":`...)
	b = appendJSONString(b, stream)
	if !pos.IsZero() {
		b = append(b, `,"pos":"`...)
		b = pos.Append(b)
		b = append(b, '"')
	}
	b = append(b, `,"id":`...)
	b = appendJSONString(b, e.ID)
	if e.From != "" {
		b = append(b, `,"from":`...)
		b = appendJSONString(b, e.From)
	}
	b = append(b, `,"time":`...)
	b = strconv.AppendInt(b, e.Time, 10)
	switch e.Receipt {
	case ReceiptDelivered:
		b = append(b, `,"receipt":"delivered"`...)
	case ReceiptRead:
		b = append(b, `,"receipt":"read"`...)
	}
	if e.Binary {
		b = append(b, `,"binary":"`...)
		b = base64.StdEncoding.AppendEncode(b, e.Data)
		b = append(b, '"')
	} else {
		b = append(b, `,"data":`...)
		b = append(b, e.Data...)
	}
	return append(b, '}')
}

// mustFrame encodes values of this file's own types, which cannot fail.
func mustFrame(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("protocol: " + err.Error())
	}
	return b
}

// appendJSONString appends s quoted. Plain text, the usual case, is copied; anything that needs escaping goes
// through encoding/json.
func appendJSONString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			q, err := json.Marshal(s)
			if err != nil {
				panic("protocol: " + err.Error())
			}
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
