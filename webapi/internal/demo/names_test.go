package demo

import (
	"strings"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
)

func TestNames(t *testing.T) {
	cases := []struct {
		name, in, want string
		ok             bool
	}{
		{"plain", "Ada", "Ada", true},
		{"trimmed", "  Ada \t Lovelace ", "Ada Lovelace", true},
		{"markup is text", "<b>&\"'", "<b>&\"'", true},
		{"any script", "李雷 Ødegård", "李雷 Ødegård", true},
		{"emoji sequence", "👩‍💻", "👩‍💻", true},
		{"tilde", "a~b~deadbeef", "a~b~deadbeef", true},
		{"longest", strings.Repeat("é", maxNickname), strings.Repeat("é", maxNickname), true},
		{"empty", "", "", false},
		{"blank", " \t ", "", false},
		{"too many characters", strings.Repeat("a", maxNickname+1), "", false},
		{"too many bytes", strings.Repeat("🦊", 25), "", false},
		{"control character", "a\x07b", "", false},
		{"right-to-left override", "\u202eevil", "", false},
		{"invisible", "\u200b", "", false},
		{"only joiners", "\u200d\u200d", "", false},
		{"not UTF-8", "a\xff", "", false},
	}
	for _, c := range cases {
		got, ok := cleanName(c.in, maxNickname)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %q %v, want %q %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestClientIDsCarryTheNickname(t *testing.T) {
	for _, name := range []string{"Ada", "a~b", "x~deadbeef", strings.Repeat("é", maxNickname), strings.Repeat("🦊", 24)} {
		id := newClientID(name)
		if err := protocol.CheckClientID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
		if got, ok := nicknameOf(id); !ok || got != name {
			t.Errorf("nickname of %q: %q %v", id, got, ok)
		}
	}
	if a, b := newClientID("Ada"), newClientID("Ada"); a == b {
		t.Error("two people with the same nickname have the same id")
	}
	for _, id := range []string{"Ada", "demo:", "demo:Ada", "demo:~deadbeef", "demo:Ada~", "demo:Ada~xyz", "demo:Ada~dead", "Ada~deadbeef"} {
		if name, ok := nicknameOf(id); ok {
			t.Errorf("%q counts as the demo's: %q", id, name)
		}
	}
}
