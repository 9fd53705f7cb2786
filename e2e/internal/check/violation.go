package check

import "fmt"

// Rule names a promise that was broken.
type Rule string

// The rules.
const (
	Loss        Rule = "loss"        // never arrived, and nothing later did
	SilentGap   Rule = "silent gap"  // never arrived, later ones did, and nothing was told in between
	Duplicate   Rule = "duplicate"   // arrived or was stored twice
	Reorder     Rule = "reorder"     // positions or awaited sends out of order
	Ghost       Rule = "ghost"       // a send that did not succeed appeared twice
	Stray       Rule = "stray"       // reached somebody who was not addressed, or was never sent
	Fork        Rule = "fork"        // one position, two messages
	Unfollowed  Rule = "unfollowed"  // a client is out of a group that it never left
	FalseAlarm  Rule = "false alarm" // told that something may be missing, and nothing had happened that explains it
	Receipt     Rule = "receipt"     // of what did not happen, not asked for, or missing
	Alternation Rule = "alternation" // online twice, or offline twice
	Untrue      Rule = "untrue"      // the last event is not how it is
	Leak        Rule = "leak"        // a node holds more than before
)

// Violation is one broken promise.
type Violation struct {
	Rule   Rule
	Client string // empty: seen in the publishers' ledger alone
	Stream string
	Key    string // of the message
	Text   string // what was seen
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: client %q stream %q message %q: %s", v.Rule, v.Client, v.Stream, v.Key, v.Text)
}
