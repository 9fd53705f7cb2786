package settings

import (
	"slices"
	"strings"
)

// redactFrom is the length from which a piece of a secret is worth hiding;
// shorter ones (a key's id, "http") would only make the message unreadable.
const redactFrom = 6

// redact takes the pieces of a secret out of a message, in case the error of a
// parser quotes what it read.
func redact(message, secret string) string {
	pieces := strings.FieldsFunc(secret, func(r rune) bool { return strings.ContainsRune(",:@/ \"", r) })
	pieces = append(pieces, secret)
	// The longest first: a piece may be part of another.
	slices.SortFunc(pieces, func(a, b string) int { return len(b) - len(a) })
	for _, piece := range pieces {
		if len(piece) >= redactFrom {
			message = strings.ReplaceAll(message, piece, "…")
		}
	}
	return message
}
