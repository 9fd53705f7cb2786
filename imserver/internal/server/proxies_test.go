package server

import (
	"net/http"
	"testing"
)

func TestClientAddress(t *testing.T) {
	const trusted = "10.0.0.0/8, 192.0.2.7,fd00::/8"
	tests := []struct {
		name    string
		trusted string
		peer    string
		lines   []string
		want    string
	}{
		{"no proxies are trusted", "", "198.51.100.1:5", []string{"203.0.113.9"}, "198.51.100.1"},
		{"the peer is no proxy of ours", trusted, "198.51.100.1:5", []string{"203.0.113.9"}, "198.51.100.1"},
		{"nothing is said", trusted, "10.1.2.3:5", nil, "10.1.2.3"},
		{"one proxy", trusted, "10.1.2.3:5", []string{"203.0.113.9"}, "203.0.113.9"},
		{"two proxies", trusted, "192.0.2.7:5", []string{"203.0.113.9, 10.9.9.9"}, "203.0.113.9"},
		{"in two lines", trusted, "10.0.0.1:5", []string{"203.0.113.9", "10.9.9.9"}, "203.0.113.9"},
		{"spoofed in front", trusted, "10.0.0.1:5", []string{"1.1.1.1, 203.0.113.9"}, "203.0.113.9"},
		{"spoofed as one of ours", trusted, "10.0.0.1:5", []string{"10.5.5.5, 203.0.113.9"}, "203.0.113.9"},
		{"spoofed in a line of its own", trusted, "10.0.0.1:5", []string{"1.1.1.1", "203.0.113.9"}, "203.0.113.9"},
		{"only our own", trusted, "10.0.0.1:5", []string{"10.5.5.5"}, "10.5.5.5"},
		{"garbage", trusted, "10.0.0.1:5", []string{"unknown"}, "10.0.0.1"},
		{"garbage behind a proxy", trusted, "10.0.0.1:5", []string{"1.1.1.1, <script>, 10.9.9.9"}, "10.9.9.9"},
		{"empty", trusted, "10.0.0.1:5", []string{""}, "10.0.0.1"},
		{"commas", trusted, "10.0.0.1:5", []string{",,,"}, "10.0.0.1"},
		{"with a port", trusted, "10.0.0.1:5", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"IPv6", trusted, "[fd00::1]:5", []string{"2001:db8::9"}, "2001:db8::9"},
		{"IPv6 with a port", trusted, "[fd00::1]:5", []string{"[2001:db8::9]:4711"}, "2001:db8::9"},
		{"IPv6 in brackets", trusted, "[fd00::1]:5", []string{"[2001:db8::9]"}, "2001:db8::9"},
		{"IPv4 in IPv6", trusted, "[::ffff:10.0.0.1]:5", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"with a zone", trusted, "[fd00::1%eth0]:5", []string{"203.0.113.9"}, "203.0.113.9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParseProxies(tt.trusted)
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.lines}}
			if got := p.clientOf(r).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	if (Proxies{}).clientOf(&http.Request{RemoteAddr: "@"}).IsValid() {
		t.Error("a peer without an address has one")
	}
}

func TestBadProxies(t *testing.T) {
	for _, text := range []string{"10.0.0.0/33", "example.com", "10.0.0", "fe80::1%eth0", "::ffff:10.0.0.0/104", "*"} {
		if p, err := ParseProxies(text); err == nil {
			t.Errorf("%q: %v", text, p)
		}
	}
}
