package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/pprof"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options says where the answers come from. All functions may be called at any
// time from several goroutines.
type Options struct {
	Ready   func() error        // why no work should come here; nil func: always ready
	State   func() any          // encoded as JSON for /state; nil: an empty object
	Metrics prometheus.Gatherer // required
}

// status is the body of /healthz and /readyz.
type status struct {
	Status string `json:"status"` // "ok", "ready" or "unready"
	Reason string `json:"reason,omitempty"`
}

// Handler answers on the admin listener.
func Handler(o Options) http.Handler {
	r := chi.NewRouter()
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, status{Status: "ok"})
	})
	r.Get("/readyz", o.readyz)
	r.Get("/state", o.state)
	r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	profiles(r)
	return r
}

func (o Options) readyz(w http.ResponseWriter, _ *http.Request) {
	if o.Ready != nil {
		if err := o.Ready(); err != nil {
			answer(w, http.StatusServiceUnavailable, status{Status: "unready", Reason: err.Error()})
			return
		}
	}
	answer(w, http.StatusOK, status{Status: "ready"})
}

func (o Options) state(w http.ResponseWriter, _ *http.Request) {
	var state any = struct{}{}
	if o.State != nil {
		state = o.State()
	}
	answer(w, http.StatusOK, state)
}

// profiles leaves out pprof's cmdline: flags may hold secrets.
func profiles(r chi.Router) {
	r.Get("/debug/pprof/*", pprof.Index)
	r.Get("/debug/pprof/profile", pprof.Profile)
	r.Get("/debug/pprof/symbol", pprof.Symbol)
	r.Post("/debug/pprof/symbol", pprof.Symbol)
	r.Get("/debug/pprof/trace", pprof.Trace)
}

// answer writes v as indented JSON: people read it too.
func answer(w http.ResponseWriter, code int, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		http.Error(w, "encode the answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(body.Bytes()) // the client may be gone
}
