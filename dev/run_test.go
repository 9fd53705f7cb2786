package dev

import (
	"testing"

	"github.com/imtier/imtier/internal/settings"
)

func TestAddressesAreOfThisMachine(t *testing.T) {
	for addr, want := range map[string]string{
		"[::]:8090":        "127.0.0.1:8090",
		"0.0.0.0:8090":     "127.0.0.1:8090",
		"127.0.0.1:8080":   "127.0.0.1:8080",
		"[::1]:8080":       "[::1]:8080",
		"192.0.2.1:8080":   "192.0.2.1:8080",
		"chat.example:443": "chat.example:443",
	} {
		if got := local(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

// The imserver of imdev advises to set IM_PUBLIC_URL when it is on all interfaces.
func TestThePublicURLIsImservers(t *testing.T) {
	var c Config
	set := settings.New("imdev")
	c.Register(set)
	if err := set.Parse(nil, []string{"IM_PUBLIC_URL=ws://192.0.2.1:6001/ws"}); err != nil {
		t.Fatal(err)
	}
	common, err := c.common("redis://127.0.0.1:6379")
	if err != nil {
		t.Fatal(err)
	}
	if node, err := c.node(common, "127.0.0.1:8080"); err != nil || node.PublicURL != "ws://192.0.2.1:6001/ws" {
		t.Errorf("%q, %v", node.PublicURL, err)
	}
}
