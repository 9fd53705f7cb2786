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
	inboxStream = []byte(`"stream":"inbox"`)
	allStream   = []byte(`"stream":"all"`)
	posMark     = []byte(`"pos":"`)
	inboxMark   = []byte(`"inbox":"`) // in the answer to start
	allMark     = []byte(`"all":"`)
	unrecovered = []byte(`:false`)
	dataMark    = []byte(`"data":`)
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

// message takes a message's position. It reports whether the message is a new one; one without a position is.
func (p *place) message(payload []byte) (fresh bool) {
	head, _, _ := bytes.Cut(payload, dataMark)
	at := &p.inbox
	switch {
	case bytes.Contains(head, allStream):
		at = &p.all
	case !bytes.Contains(head, inboxStream):
		return true
	}
	pos, ok := position(head, posMark)
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
	end := bytes.IndexByte(rest, '"')
	if !found || end < 0 {
		return pos, false
	}
	pos, err := protocol.ParsePosition(string(rest[:end]))
	return pos, err == nil
}
