package dev

import "testing"

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
