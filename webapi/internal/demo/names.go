package demo

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	clientPrefix = "demo:"
	roomPrefix   = "demo:room:"
	lobby        = "demo:lobby"

	// Names have to fit into the 128 bytes of a clientId or group with what stands around them.
	maxNameBytes = 96
	maxNickname  = 32 // characters
	maxRoom      = 40 // characters

	suffixBytes = 4 // random part of a clientId: tells people with the same nickname apart
)

// cleanName trims a nickname or room and says whether it can be one: 1 to limit printable characters. Characters
// that change how their neighbours are shown are left out, or a name could pretend to be another.
func cleanName(name string, limit int) (string, bool) {
	name = strings.Join(strings.Fields(name), " ")
	if name == "" || len(name) > maxNameBytes || !utf8.ValidString(name) || utf8.RuneCountInString(name) > limit {
		return "", false
	}
	visible := false
	for _, r := range name {
		const joiner = '\u200d' // holds emoji sequences together
		if !unicode.IsPrint(r) && r != joiner {
			return "", false
		}
		visible = visible || unicode.IsGraphic(r) && !unicode.Is(unicode.Mn, r) && r != ' '
	}
	return name, visible
}

// newClientID makes the id of somebody with that nickname.
func newClientID(nickname string) string {
	var b [suffixBytes]byte
	rand.Read(b[:])
	return clientPrefix + nickname + "~" + hex.EncodeToString(b[:])
}

// nicknameOf reads the nickname in a clientId; ok is false for clients that are not the demo's.
func nicknameOf(clientID string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(clientID, clientPrefix)
	if !ok {
		return "", false
	}
	i := strings.LastIndexByte(rest, '~')
	if i <= 0 {
		return "", false
	}
	if suffix, err := hex.DecodeString(rest[i+1:]); err != nil || len(suffix) != suffixBytes {
		return "", false
	}
	return rest[:i], true
}

func groupOfRoom(room string) string { return roomPrefix + room }

// roomOfGroup reads the room in a group's name; ok is false for groups that are not the demo's rooms.
func roomOfGroup(group string) (room string, ok bool) { return strings.CutPrefix(group, roomPrefix) }
