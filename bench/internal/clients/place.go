package clients

import (
	"bytes"

	"github.com/imtier/imtier/pkg/protocol"
)

// place is where a client of imtier.v1 has got to. The clients of a fleet that resumes are in no group.
type place struct {
	inbox, all protocol.Position
}

// What precedes a position in the frames.
var (
	inboxMessage = []byte(`{"type":"message","stream":"inbox","pos":"`)
	allMessage   = []byte(`{"type":"message","stream":"all","pos":"`)
	inboxMark    = []byte(`"inbox":"`) // in the answer to start
	allMark      = []byte(`"all":"`)
	unrecovered  = []byte(`:false`)
)

// start is the frame that begins there; where the server thinks for those who have no place yet.
func (p *place) start() []byte {
	b := []byte(`{"type":"start"`)
	if p != nil && *p != (place{}) {
		b = append(b, `,"pos":{"inbox":"`...)
		b = append(p.inbox.Append(b), `","all":"`...)
		b = append(p.all.Append(b), `"}`...)
	}
	return masked(opText, append(b, '}'))
}

// ack is the frame that acknowledges everything up to there, of a client that has got something.
func (p *place) ack() []byte {
	b := []byte(`{"type":"ack","pos":{`)
	if p.inbox != (protocol.Position{}) {
		b = append(p.inbox.Append(append(b, `"inbox":"`...)), `",`...)
	}
	if p.all != (protocol.Position{}) {
		b = append(p.all.Append(append(b, `"all":"`...)), `",`...)
	}
	return masked(opText, append(b[:len(b)-1], "}}"...))
}

// started takes the answer to start. It reports whether nothing can be missing.
func (p *place) started(payload []byte) (recovered bool) {
	if pos, ok := position(payload, inboxMark); ok {
		p.inbox = pos
	}
	if pos, ok := position(payload, allMark); ok {
		p.all = pos
	}
	return !bytes.Contains(payload, unrecovered)
}

// message takes a message's position. It reports whether the message is a new one; one without a position is. It runs for
// every delivery, so it looks at the beginning only, which is as imservers write it.
func (p *place) message(payload []byte) (fresh bool) {
	at := &p.all
	rest, ours := bytes.CutPrefix(payload, allMessage)
	if !ours {
		at = &p.inbox
		if rest, ours = bytes.CutPrefix(payload, inboxMessage); !ours {
			return true
		}
	}
	pos, ok := positionIn(rest)
	if !ok {
		return true
	}
	fresh = at.Less(pos)
	*at = pos
	return fresh
}

// position reads the one behind mark.
func position(payload, mark []byte) (pos protocol.Position, ok bool) {
	_, rest, found := bytes.Cut(payload, mark)
	if !found {
		return pos, false
	}
	return positionIn(rest)
}

// positionIn reads the position that ends at the first quote.
func positionIn(text []byte) (pos protocol.Position, ok bool) {
	end := bytes.IndexByte(text, '"')
	if end < 0 {
		return pos, false
	}
	pos, err := protocol.ParsePosition(string(text[:end]))
	return pos, err == nil
}
