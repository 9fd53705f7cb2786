// Package admin is the operator's side of a program, on a listener that is
// never public:
//
//	GET /healthz         200 as long as the process answers
//	GET /readyz          200, or 503 with the reason why no work should come here
//	GET /metrics         Prometheus' text format
//	GET /state           the program's own numbers as JSON
//	GET /debug/pprof/    Go's profiles
//
// Handler is served by both programs; Check is what their healthcheck
// subcommand calls, since a static image has no curl.
package admin
