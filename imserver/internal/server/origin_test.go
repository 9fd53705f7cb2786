package server

import (
	"net/http"
	"testing"
)

func TestAllowedOrigin(t *testing.T) {
	s := &Server{o: Options{Origins: []string{"https://shop.example"}}}
	for _, tc := range []struct {
		host, origin string
		want         bool
	}{
		{"im.example:6001", "", true},
		{"im.example:6001", "https://shop.example", true},
		{"im.example:6001", "https://SHOP.example", true},
		{"im.example:6001", "http://shop.example", false},
		{"im.example:6001", "https://shop.example:8443", false},
		{"im.example:6001", "http://im.example:8080", true},
		{"im.example", "https://IM.example", true},
		{"im.example:6001", "http://xim.example:6001", false},
		{"im.example:6001", "http://im.example.evil.example", false},
		{"im.example:6001", "http://im.example@evil.example", false},
		{"[::1]:6001", "http://[::1]:8080", true},
		{"im.example:6001", "null", false},
		{"", "null", false},
		{"im.example:6001", "http://", false},
		{"im.example:6001", "://", false},
	} {
		r := &http.Request{Host: tc.host, Header: http.Header{}}
		if tc.origin != "" {
			r.Header.Set("Origin", tc.origin)
		}
		if got := s.allowedOrigin(r); got != tc.want {
			t.Errorf("a page of %q at %q: %v, want %v", tc.origin, tc.host, got, tc.want)
		}
	}
}
