package server

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Names of headers as net/http keeps them; others would be rewritten at each look.
const (
	headerKey      = "Sec-Websocket-Key"
	headerVersion  = "Sec-Websocket-Version"
	headerProtocol = "Sec-Websocket-Protocol"
)

// isUpgrade reports whether the request is a WebSocket handshake (RFC 6455 §4.2.1). It is looked at before the
// URL is used up; coder/websocket looks again.
func isUpgrade(r *http.Request) bool {
	keys := r.Header[headerKey]
	if len(keys) != 1 {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0]))
	return err == nil && len(key) == 16 &&
		r.ProtoAtLeast(1, 1) && r.ProtoMajor == 1 &&
		hasToken(r.Header, "Connection", "upgrade") &&
		hasToken(r.Header, "Upgrade", "websocket") &&
		r.Header.Get(headerVersion) == "13"
}

func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

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
