package protocol

import (
	"errors"
	"strings"
)

// Kind says what a stream belongs to.
type Kind byte

const (
	Inbox Kind = 'i' // messages addressed to one client
	Group Kind = 'g' // messages of a group
	All   Kind = 'a' // broadcasts
)

// Stream is an address that messages are appended to: Name is the clientId of an inbox, the name of a group,
// or empty for All.
type Stream struct {
	Kind Kind
	Name string
}

// InboxOf, GroupOf and AllStream make the three kinds of stream.
func InboxOf(clientID string) Stream { return Stream{Inbox, clientID} }
func GroupOf(group string) Stream    { return Stream{Group, group} }
func AllStream() Stream              { return Stream{Kind: All} }

// String is the stream's name on the wire, as a client sees it: "inbox", "group:<name>" or "all".
func (s Stream) String() string {
	switch s.Kind {
	case Inbox:
		return "inbox"
	case Group:
		return groupPrefix + s.Name
	default:
		return "all"
	}
}

const groupPrefix = "group:"

var errBadStream = errors.New(`a stream is "inbox", "group:<name>" or "all"`)

// ParseStream reads a stream's name as clientID wrote it; "inbox" means that client's own.
func ParseStream(s, clientID string) (Stream, error) {
	switch {
	case s == "inbox":
		return InboxOf(clientID), nil
	case s == "all":
		return AllStream(), nil
	case strings.HasPrefix(s, groupPrefix):
		name := s[len(groupPrefix):]
		if err := CheckGroup(name); err != nil {
			return Stream{}, err
		}
		return GroupOf(name), nil
	}
	return Stream{}, errBadStream
}
