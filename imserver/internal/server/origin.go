package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// allowedOrigin reports whether a browser's page may connect. Clients that are no browsers send no Origin.
// Origins are compared whole: no patterns, which are easily wider than meant. A page of the same host may, from any port.
func (s *Server) allowedOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(s.o.Origins, "*") || slices.Contains(s.o.Origins, strings.ToLower(origin)) {
		return true
	}
	page, err := url.Parse(origin)
	here, err2 := url.Parse("//" + r.Host)
	return err == nil && err2 == nil && page.Hostname() != "" && strings.EqualFold(page.Hostname(), here.Hostname())
}
