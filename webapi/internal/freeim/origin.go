package freeim

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// preflightAge is how many seconds a browser may remember that an origin is allowed.
const preflightAge = "600"

// sharedWith lets pages of other origins call next if they are listed, and refuses the rest: without a key to show,
// a request that any page can make its visitors send would do whatever it says. Programs send no origin, and neither do
// browsers for what a page only shows, such as a picture: then they tell by Sec-Fetch-Site that it is another page's.
func sharedWith(origins []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		h := w.Header()
		h.Add("Vary", "Origin")
		if origin == "" && (slices.Contains(origins, "*") || !ofAnotherPage(r)) {
			next.ServeHTTP(w, r)
			return
		}
		if origin == "" || !allowed(origins, origin, r.Host) {
			write(w, http.StatusForbidden, map[string]any{
				"code": http.StatusForbidden, "message": "this origin is not one of IM_ALLOWED_ORIGINS",
			})
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Content-Type, X-Requested-With")
			h.Set("Access-Control-Max-Age", preflightAge)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ofAnotherPage reports whether a browser says that a page of another origin is behind a request.
func ofAnotherPage(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}

// allowed reports whether an origin is listed, or is a page of the host that the request is for, on whatever port.
func allowed(origins []string, origin, host string) bool {
	origin = strings.ToLower(origin)
	if slices.Contains(origins, "*") || slices.Contains(origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Hostname() != "" && u.Hostname() == hostname(host)
}

func hostname(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	return strings.ToLower(strings.Trim(name, "[]"))
}
