package api

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/webapi/web/docs"
)

// Options of an API.
type Options struct {
	Helper         *imhelper.Helper      // required
	Keys           Keys                  // API keys; without any no protected route can be called
	Users          UserVerifier          // nil: no user tokens
	AllowGuests    bool                  // POST /v1/connect without a credential
	AllowedOrigins []string              // for CORS; empty: pages of this host only
	Webhook        Redeliverer           // nil: none is set up
	Log            *zap.Logger           // required
	Metrics        prometheus.Registerer // required

	// Of event streams: after how long an idle one says that it lives, default 12s, and how long a client may take to read
	// a piece, default 30s.
	EventHeartbeat, EventPatience time.Duration
}

// API serves the routes. Make one with New, then Handler once.
type API struct {
	helper  *imhelper.Helper
	keys    Keys
	users   UserVerifier
	guests  bool
	origins []string
	log     *zap.Logger
	metrics *metrics
	routes  []route
}

// New returns the API. It starts nothing.
func New(o Options) *API {
	a := &API{
		helper:  o.Helper,
		keys:    o.Keys,
		users:   o.Users,
		guests:  o.AllowGuests,
		origins: o.AllowedOrigins,
		log:     o.Log,
		metrics: newMetrics(o.Metrics),
	}
	h := o.Helper
	a.routes = slices.Concat(
		connects{h}.routes(),
		messages{h}.routes(),
		batches{h, o.Log}.routes(),
		groups{h}.routes(),
		members{h}.routes(),
		histories{h}.routes(),
		clients{h}.routes(),
		connections{h}.routes(),
		revocations{h}.routes(),
		events{
			h: h, room: make(chan struct{}, maxStreams),
			heartbeat: cmp.Or(o.EventHeartbeat, heartbeat), patience: cmp.Or(o.EventPatience, writeTimeout),
		}.routes(),
		deadLetters{h, o.Webhook}.routes(),
		cluster{h}.routes(),
	)
	return a
}

// Handler returns the router. Each of mount may add handlers of its own (pages, compatible routes); they get the
// same recovery and CORS, and no authentication. The error is about the document: a mistake in the route table.
func (a *API) Handler(mount ...func(chi.Router)) (http.Handler, error) {
	document, err := a.document()
	if err != nil {
		return nil, err
	}
	r := chi.NewRouter()
	r.Use(a.recoverer, crossOrigin(a.origins))
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		problem(http.StatusNotFound, codeNotFound, "there is no such route; /docs lists them").write(w)
	})
	r.MethodNotAllowed(methodNotAllowed(r))
	for i := range a.routes {
		row := &a.routes[i]
		protect := a.requireKey
		if row.access == byUser {
			protect = a.identify
		}
		r.Method(row.method, row.path, protect(row.make(a, row)))
	}
	r.Get("/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document)
	})
	docs.Mount(r)
	for _, m := range mount {
		m(r)
	}
	return r, nil
}

// methodNotAllowed answers 405 and names the methods that the path has.
func methodNotAllowed(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.RawPath
		if path == "" {
			path = r.URL.Path
		}
		for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			if routes.Match(chi.NewRouteContext(), m, path) {
				w.Header().Add("Allow", m)
			}
		}
		problem(http.StatusMethodNotAllowed, codeMethodNotAllowed, "this route does not know that method").write(w)
	}
}
