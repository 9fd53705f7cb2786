package freeim

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOrigins(t *testing.T) {
	cases := []struct {
		name, origin, host string
		list               []string
		want               bool
	}{
		{"own host", "http://chat.example", "chat.example", nil, true},
		{"own host, another port", "http://127.0.0.1:3000", "127.0.0.1:8080", nil, true},
		{"own host, IPv6", "http://[::1]:3000", "[::1]:8080", nil, true},
		{"own host, other case", "https://Chat.Example", "chat.example:443", nil, true},
		{"another host", "https://evil.example", "chat.example", nil, false},
		{"host that ends alike", "https://evilchat.example", "chat.example", nil, false},
		{"host that begins alike", "https://chat.example.evil.example", "chat.example", nil, false},
		{"opaque", "null", "chat.example", nil, false},
		{"no host", "https://", "", nil, false},
		{"listed", "https://app.example", "chat.example", []string{"https://app.example"}, true},
		{"listed with another scheme", "http://app.example", "chat.example", []string{"https://app.example"}, false},
		{"all", "https://whoever.example", "chat.example", []string{"*"}, true},
		{"own host beside a list", "https://chat.example", "chat.example", []string{"https://app.example"}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			called := false
			h := sharedWith(c.list, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
			r := httptest.NewRequest(http.MethodPost, "/ws/get-channels", nil)
			r.Host = c.host
			r.Header.Set("Origin", c.origin)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			shared := w.Header().Get("Access-Control-Allow-Origin") == c.origin
			if called != c.want || shared != c.want || !c.want && w.Code != http.StatusForbidden {
				t.Errorf("called %v, shared %v, status %d; want %v", called, shared, w.Code, c.want)
			}
		})
	}
}

// What a page only shows is fetched without an origin.
func TestWhatPagesOfOthersShow(t *testing.T) {
	for _, c := range []struct {
		site string
		list []string
		want bool
	}{
		{"", nil, true}, // a program
		{"none", nil, true},
		{"same-origin", nil, true},
		{"same-site", nil, false},
		{"cross-site", nil, false},
		{"cross-site", []string{"https://app.example"}, false},
		{"cross-site", []string{"*"}, true},
	} {
		called := false
		h := sharedWith(c.list, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
		r := httptest.NewRequest(http.MethodGet, "/ws/offline?websocketId=bob", nil)
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if called != c.want || !c.want && w.Code != http.StatusForbidden {
			t.Errorf("%q, list %q: called %v, status %d", c.site, c.list, called, w.Code)
		}
	}
}

func TestPreflightsAreAnswered(t *testing.T) {
	h := sharedWith([]string{"https://app.example"}, http.NotFoundHandler())
	r := httptest.NewRequest(http.MethodOptions, "/ws/pre-connect", nil)
	r.Header.Set("Origin", "https://app.example")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Methods") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
