package imserver

import (
	"strings"
	"testing"

	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestPublicURL(t *testing.T) {
	for _, c := range []struct {
		set, addr, want string
		hereOnly        bool
	}{
		{"wss://im.example.com/ws", "[::]:6001", "wss://im.example.com/ws", false},
		{"", "[::]:6001", "ws://127.0.0.1:6001/ws", true},
		{"", "0.0.0.0:6001", "ws://127.0.0.1:6001/ws", true},
		{"", "127.0.0.1:6001", "ws://127.0.0.1:6001/ws", false},
		{"", "192.0.2.1:6001", "ws://192.0.2.1:6001/ws", false},
		{"", "[2001:db8::1]:6001", "ws://[2001:db8::1]:6001/ws", false},
	} {
		if url, hereOnly := publicURL(c.set, c.addr); url != c.want || hereOnly != c.hereOnly {
			t.Errorf("%q, %s: %s, %v", c.set, c.addr, url, hereOnly)
		}
	}
}

// A node on all interfaces that hands out 127.0.0.1 says so: clients elsewhere get a URL that leads nowhere.
func TestAGuessedPublicURLIsTold(t *testing.T) {
	redis := redistest.Start(t)
	told := func(change func(*Config)) (warnings int) {
		n := start(t, redis.URL(), change)
		for _, e := range n.logs.All() {
			if e.Level.String() == "warn" && strings.Contains(e.Message, "IM_PUBLIC_URL") {
				warnings++
			}
		}
		return warnings
	}
	if n := told(func(c *Config) { c.Listen = ":0" }); n != 1 {
		t.Errorf("on all interfaces: told %d times", n)
	}
	if n := told(func(c *Config) { c.Listen, c.PublicURL = ":0", "wss://im.example.com/ws" }); n != 0 {
		t.Errorf("with a URL: told %d times", n)
	}
	if n := told(func(*Config) {}); n != 0 {
		t.Errorf("on 127.0.0.1: told %d times", n)
	}
}
