package rig

import (
	"strings"

	"github.com/imtier/imtier/e2e/internal/proc"
)

// forbidden is what no program may ever write to its log.
var forbidden = []struct{ text, what string }{
	{"token=", "a URL with its token"},
	{"eyJ", "something that begins like a token"}, // {" in base64, which every JWT begins with
	{APIKey, "the API key"},
	{secretPart, "the signing key"},
	{"panic:", "a panic"},
	{"DATA RACE", "a data race"},
	{"fatal error:", "a crash"},
}

// inspect looks for what must not be in a program's log.
func (r *Rig) inspect(p *proc.Program) {
	for line := range strings.Lines(p.Output()) {
		for _, f := range forbidden {
			if strings.Contains(line, f.text) {
				r.T.Errorf("the log of %s holds %s: %.300s", p.Name, f.what, line)
			}
		}
	}
}
