package server

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// refusal is an answer before the upgrade, as application/problem+json (RFC 9457).
type refusal struct {
	Status     int    `json:"status"`
	Title      string `json:"title"`
	Code       string `json:"code"`
	Detail     string `json:"detail,omitempty"`
	retryAfter int    // seconds
	limit      string // which limit was reached, for the metric
}

// All refusals there are.
var (
	refuseNoUpgrade = &refusal{Status: http.StatusUpgradeRequired, Code: "upgrade_required", Detail: "this address speaks WebSocket, version 13, only"}
	refuseNoToken   = &refusal{Status: http.StatusUnauthorized, Code: "token_missing", Detail: "the URL needs ?token=, as issued by POST /v1/connect, or ?session= from a hello"}
	refuseInvalid   = &refusal{Status: http.StatusUnauthorized, Code: "token_invalid", Detail: "the token is not one of ours"}
	refuseExpired   = &refusal{Status: http.StatusUnauthorized, Code: "token_expired", Detail: "the URL is no longer valid, ask for a new one"}
	refuseOrigin    = &refusal{Status: http.StatusForbidden, Code: "origin_forbidden", Detail: "pages from this origin may not connect, see IM_ALLOWED_ORIGINS"}
	refuseRevoked   = &refusal{Status: http.StatusForbidden, Code: "revoked", Detail: "the client or the URL is revoked"}
	refuseUsed      = &refusal{Status: http.StatusConflict, Code: "token_used", Detail: "the URL or session works once and has been used, or the session is over: ask for a new URL"}
	refuseFull      = &refusal{Status: http.StatusServiceUnavailable, Code: "too_many_connections", Detail: "this node holds as many connections as it can", retryAfter: 5, limit: "connections"}
	refuseAddr      = &refusal{Status: http.StatusTooManyRequests, Code: "too_many_attempts", Detail: "too many connects from this address, see IM_CONNECT_RATE_PER_IP", retryAfter: 1, limit: "connects_per_ip"}
	refuseClient    = &refusal{Status: http.StatusTooManyRequests, Code: "too_many_attempts", Detail: "too many connects of this client, see IM_CONNECT_RATE_PER_CLIENT; the URL is still good", retryAfter: 1, limit: "connects_per_client"}
	refuseDraining  = &refusal{Status: http.StatusServiceUnavailable, Code: "draining", Detail: "this node is going away, ask for a new URL", retryAfter: 1}
	refuseNotReady  = &refusal{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: "this node cannot reach Redis now, ask for a new URL later", retryAfter: 1}
	refuseInternal  = &refusal{Status: http.StatusInternalServerError, Code: "internal", Detail: "see the node's log"}
)

func (s *Server) refuse(w http.ResponseWriter, p *refusal) {
	s.o.Refused(p.Status)
	if p.limit != "" {
		s.o.Limited(p.limit)
	}
	body := *p
	body.Title = http.StatusText(p.Status)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.Status == http.StatusUpgradeRequired {
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}
