package api

import (
	"net/http"
	"strings"

	"github.com/go-chi/cors"
)

// corsMaxAge is how long a browser may remember a preflight's answer, in seconds. Chromium keeps none longer.
const corsMaxAge = 7200

// crossOrigin lets pages of the allowed origins call the API; what else is mounted decides for itself. Without any,
// browsers allow only pages of this host, and nothing has to be sent for that. Credentials are keys in headers, never
// cookies, so "*" is safe.
func crossOrigin(origins []string) func(http.Handler) http.Handler {
	if len(origins) == 0 {
		return func(next http.Handler) http.Handler { return next }
	}
	shared := cors.Handler(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "X-API-Key", "Last-Event-ID"},
		ExposedHeaders: []string{"Retry-After"},
		MaxAge:         corsMaxAge,
	})
	return func(next http.Handler) http.Handler {
		api := shared(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v1/") || r.URL.Path == "/openapi.json" {
				api.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}
