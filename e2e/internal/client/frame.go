package client

import (
	"encoding/json"
	"fmt"
)

// Frame is anything a server sends. Which fields are set depends on Type.
type Frame struct {
	Type      string
	ClientID  string            // hello; receipt: the receiver
	ConnID    string            // hello
	Node      string            // hello
	At        map[string]string // started: where each stream begins
	Recovered map[string]bool   // started
	Stream    string            // message, gap, receipt
	Pos       string            // message, joined, receipt
	ID        string            // message; receipt: of the message that it is about
	From, To  string            // message: the sender; gap: the positions
	Time      int64             // message, Unix milliseconds
	Data      json.RawMessage   // message
	Binary    []byte            // message
	Group     string            // joined, left
	Session   string            // hello
	State     string            // receipt
	URL       string            // migrate
}

// UnmarshalJSON reads a frame; pos is a string in some and an object in others.
func (f *Frame) UnmarshalJSON(b []byte) error {
	var w struct {
		Type, ClientID, ConnID, Node, Stream, ID, From, To, Group, Session, State, URL string
		Pos                                                                            json.RawMessage
		Recovered                                                                      map[string]bool
		Time                                                                           int64
		Data                                                                           json.RawMessage
		Binary                                                                         []byte
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("frame %.80q: %w", b, err)
	}
	*f = Frame{
		Type: w.Type, ClientID: w.ClientID, ConnID: w.ConnID, Node: w.Node, Stream: w.Stream, ID: w.ID,
		From: w.From, To: w.To, Group: w.Group, Recovered: w.Recovered, Time: w.Time, Data: w.Data, Binary: w.Binary, Session: w.Session, State: w.State, URL: w.URL,
	}
	switch {
	case len(w.Pos) == 0:
		return nil
	case w.Pos[0] == '"':
		return json.Unmarshal(w.Pos, &f.Pos)
	default:
		return json.Unmarshal(w.Pos, &f.At)
	}
}
