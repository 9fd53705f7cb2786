package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ClientFrame is one frame that a client sent. Which fields count depends on Type; unknown types and fields
// are ignored, so that newer clients can talk to older servers.
type ClientFrame struct {
	Type string            `json:"type"`
	Pos  map[string]string `json:"pos"`  // start, ack: stream → position
	IDs  []string          `json:"ids"`  // read
	ID   string            `json:"id"`   // request
	Data json.RawMessage   `json:"data"` // request
}

// Types of frames that a client sends.
const (
	FrameStart   = "start"
	FrameAck     = "ack"
	FrameRead    = "read"
	FramePing    = "ping"
	FrameRequest = "request"
)

// maxStreamsPerFrame bounds the positions of one start or ack: a client follows its inbox, all and its groups.
const maxStreamsPerFrame = 2 + 10_000

// ErrBadFrame is wrapped by every error of DecodeClientFrame and Positions.
var ErrBadFrame = errors.New("malformed frame")

// DecodeClientFrame reads one text frame of imtier.v1.
func DecodeClientFrame(b []byte) (*ClientFrame, error) {
	var f ClientFrame
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadFrame, err)
	}
	if f.Type == "" {
		return nil, fmt.Errorf("%w: has no type", ErrBadFrame)
	}
	return &f, nil
}

// Positions reads the frame's pos; "inbox" means clientID's.
func (f *ClientFrame) Positions(clientID string) (map[Stream]Position, error) {
	if len(f.Pos) > maxStreamsPerFrame {
		return nil, fmt.Errorf("%w: pos names %d streams", ErrBadFrame, len(f.Pos))
	}
	out := make(map[Stream]Position, len(f.Pos))
	for name, text := range f.Pos {
		st, err := ParseStream(name, clientID)
		if err != nil {
			return nil, fmt.Errorf("%w: pos %q: %w", ErrBadFrame, name, err)
		}
		p, err := ParsePosition(text)
		if err != nil {
			return nil, fmt.Errorf("%w: pos of %q: %w", ErrBadFrame, name, err)
		}
		out[st] = p
	}
	return out, nil
}

// ReadIDs checks and returns the frame's ids.
func (f *ClientFrame) ReadIDs() ([]string, error) {
	if len(f.IDs) > MaxReadIDs {
		return nil, fmt.Errorf("%w: ids has %d entries", ErrBadFrame, len(f.IDs))
	}
	for _, id := range f.IDs {
		if err := CheckID(id); err != nil {
			return nil, fmt.Errorf("%w: ids: %w", ErrBadFrame, err)
		}
	}
	return f.IDs, nil
}

// Request checks and returns the frame's id and data; data that is left out is null.
func (f *ClientFrame) Request() (id string, data json.RawMessage, err error) {
	if err := CheckID(f.ID); err != nil {
		return "", nil, fmt.Errorf("%w: id: %w", ErrBadFrame, err)
	}
	if f.Data == nil {
		return f.ID, json.RawMessage("null"), nil
	}
	return f.ID, f.Data, nil
}
