package protocol

import (
	"bytes"
	"errors"
	"strconv"
)

// PushKind says what a partition channel's message is.
type PushKind byte

const (
	PushMessage   PushKind = 'M' // an envelope that was appended to streams
	PushEphemeral PushKind = 'E' // an envelope that is stored nowhere
	PushJoin      PushKind = 'J' // a client became a member of a group
	PushLeave     PushKind = 'L' // a client is no longer a member of a group
	PushUnsure    PushKind = 'U' // a client may be no longer a member of a group: its own channel will tell
	PushKick      PushKind = 'K' // close connections of a client
	PushReply     PushKind = 'R' // the answer to a request of a client
	PushRevoke    PushKind = 'V' // close the connections that go back to a connect URL
)

// Push is one message of a partition channel. Scripts in Redis build it as text lines with the envelope's bytes
// after them; names hold no control characters, so a line feed ends every field:
//
//	M fence n (address position)×n envelope
//	E n address×n envelope
//	J clientId group position [+]      +: with all messages that are kept, not only those after position
//	L clientId group [position]        position: where the group's stream ended when the client was no member any more
//	U clientId group position          likewise
//	K clientId connId device code by   connId and device may be empty: any; by may be absent
//	V jti
//	R clientId origin id frame         origin: the first connection of the session
type Push struct {
	Kind     PushKind
	Fence    uint64   // M: positions with a smaller epoch were written in an earlier life of Redis
	Targets  []Target // M, E
	Envelope []byte   // M, E; refers to the decoded bytes

	ClientID string   // J, L, U, K, R
	Group    string   // J, L, U
	Pos      Position // J, L, U: where the group's stream ended when the client became a member, or was none any more
	Ends     bool     // L: Pos is known; old publishers do not tell
	History  bool     // J: what came before is for the client too
	ConnID   string   // K
	Device   string   // K
	Code     int      // K: the close code
	By       string   // K: the device that takes the place, if one does
	JTI      string   // V: the URL's name
	Origin   string   // R
	ID       string   // R: the request's
	Frame    []byte   // R: for the client; refers to the decoded bytes
}

// Target is one stream of a push: the clientId of an inbox, a group, or empty for all.
type Target struct {
	Addr string
	Pos  Position
}

// maxTargets bounds what a decoder allocates for one push; a publisher sends at most MaxReceivers at once.
const maxTargets = MaxReceivers

// withHistory is the last line of a join that includes history.
const withHistory = "+"

// ErrBadPush is returned for bytes that are not a push.
var ErrBadPush = errors.New("malformed push")

// Encode returns the push's bytes. Scripts build pushes in Redis; this is for those that publish without one.
func (p *Push) Encode() []byte {
	b := append(make([]byte, 0, 64+len(p.Envelope)), byte(p.Kind), '\n')
	line := func(s string) { b = append(append(b, s...), '\n') }
	switch p.Kind {
	case PushMessage, PushEphemeral:
		if p.Kind == PushMessage {
			line(strconv.FormatUint(p.Fence, 10))
		}
		line(strconv.Itoa(len(p.Targets)))
		for _, t := range p.Targets {
			line(t.Addr)
			if p.Kind == PushMessage {
				line(t.Pos.String())
			}
		}
		b = append(b, p.Envelope...)
	case PushJoin:
		line(p.ClientID)
		line(p.Group)
		line(p.Pos.String())
		if p.History {
			line(withHistory)
		}
	case PushLeave:
		line(p.ClientID)
		line(p.Group)
		if p.Ends {
			line(p.Pos.String())
		}
	case PushUnsure:
		line(p.ClientID)
		line(p.Group)
		line(p.Pos.String())
	case PushKick:
		line(p.ClientID)
		line(p.ConnID)
		line(p.Device)
		line(strconv.Itoa(p.Code))
		if p.By != "" {
			line(p.By)
		}
	case PushRevoke:
		line(p.JTI)
	case PushReply:
		line(p.ClientID)
		line(p.Origin)
		line(p.ID)
		b = append(b, p.Frame...)
	}
	return b
}

// DecodePush reads one message of a partition channel.
func DecodePush(b []byte) (*Push, error) {
	p := new(Push)
	if err := p.Decode(b); err != nil {
		return nil, err
	}
	return p, nil
}

// Decode is DecodePush into a Push that is there and empty. After an error it is not to be used.
func (p *Push) Decode(b []byte) error {
	l := lines{b: b}
	kind := l.raw()
	if len(kind) != 1 {
		return ErrBadPush
	}
	p.Kind = PushKind(kind[0])
	switch p.Kind {
	case PushMessage:
		p.Fence = l.uint()
		p.Targets = l.targets(true)
		p.Envelope = l.b
	case PushEphemeral:
		p.Targets = l.targets(false)
		p.Envelope = l.b
	case PushJoin:
		p.ClientID, p.Group, p.Pos = l.next(), l.next(), l.position()
		p.History = len(l.b) > 0 && l.next() == withHistory
	case PushLeave:
		p.ClientID, p.Group = l.next(), l.next()
		if len(l.b) > 0 {
			p.Pos, p.Ends = l.position(), true
		}
	case PushUnsure:
		p.ClientID, p.Group, p.Pos = l.next(), l.next(), l.position()
	case PushKick:
		p.ClientID, p.ConnID, p.Device, p.Code = l.next(), l.next(), l.next(), int(l.uint())
		if len(l.b) > 0 {
			p.By = l.next()
		}
	case PushRevoke:
		p.JTI = l.next()
	case PushReply:
		p.ClientID, p.Origin, p.ID, p.Frame = l.next(), l.next(), l.next(), l.b
	default:
		return ErrBadPush
	}
	if l.failed {
		return ErrBadPush
	}
	return nil
}

// lines reads fields that end with a line feed; after the first failure it yields zero values.
type lines struct {
	b      []byte
	failed bool
}

// raw reads a field without copying it.
func (l *lines) raw() []byte {
	i := bytes.IndexByte(l.b, '\n')
	if i < 0 {
		l.failed = true
		l.b = nil
		return nil
	}
	field := l.b[:i]
	l.b = l.b[i+1:]
	return field
}

func (l *lines) next() string { return string(l.raw()) }

func (l *lines) uint() uint64 {
	v, err := strconv.ParseUint(string(l.raw()), 10, 63)
	if err != nil {
		l.failed = true
	}
	return v
}

func (l *lines) position() Position {
	p, err := ParsePosition(string(l.raw()))
	if err != nil {
		l.failed = true
	}
	return p
}

func (l *lines) targets(withPos bool) []Target {
	n := l.uint()
	if l.failed || n > maxTargets {
		l.failed = true
		return nil
	}
	ts := make([]Target, 0, n)
	for range n {
		t := Target{Addr: l.next()}
		if withPos {
			t.Pos = l.position()
		}
		if l.failed {
			return nil
		}
		ts = append(ts, t)
	}
	return ts
}
