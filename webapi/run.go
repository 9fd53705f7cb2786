package webapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"github.com/imtier/imtier/internal/admin"
	"github.com/imtier/imtier/internal/httpd"
	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/webapi/internal/api"
	"github.com/imtier/imtier/webapi/internal/usertoken"
	"github.com/imtier/imtier/webapi/internal/webhook"
)

const (
	// openRetry is the pause between two attempts to reach Redis at the start.
	openRetry = time.Second
	// probeEvery is how often Redis is asked for a sign of life, for /readyz.
	probeEvery = time.Second
)

var errStarting = errors.New("starting: redis has not been reached yet")

// Server is one webapi.
type Server struct {
	cfg     Config
	log     *zap.Logger
	users   *usertoken.Verifier // nil: no user tokens
	jwks    *usertoken.JWKS     // nil: none
	metrics *prometheus.Registry
	admin   *httpd.Server
	public  *httpd.Server
	started time.Time

	handler atomic.Pointer[http.Handler] // nil until Redis has been reached
	away    atomic.Pointer[error]        // why not ready; nil when ready
}

// New checks the configuration and opens both listeners. Nothing is answered before Run.
func New(cfg Config, log *zap.Logger) (*Server, error) {
	if err := cfg.Webhook.check(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: log, metrics: prometheus.NewRegistry(), started: time.Now()}
	s.away.Store(&errStarting)
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := s.openUserTokens(); err != nil {
		return nil, err
	}
	var err error
	o := httpd.Options{ErrorLog: zap.NewStdLog(log)}
	s.admin, err = httpd.Listen(cfg.AdminListen, admin.Handler(admin.Options{
		Ready: s.Ready, State: s.state, Metrics: s.metrics,
	}), o)
	if err != nil {
		return nil, fmt.Errorf("admin listener (IM_ADMIN_LISTEN): %w", err)
	}
	o.FastPath = true // a POST here is answered in one piece, and finished also when its client has gone
	if s.public, err = httpd.Listen(cfg.Listen, http.HandlerFunc(s.serve), o); err != nil {
		s.admin.Close()
		return nil, fmt.Errorf("public listener (IM_LISTEN): %w", err)
	}
	return s, nil
}

func (s *Server) openUserTokens() error {
	var verifiers []usertoken.Source
	if s.cfg.UserJWTKey != "" {
		key, err := usertoken.ParseKey(s.cfg.UserJWTKey)
		if err != nil {
			return fmt.Errorf("user token key: %w", err)
		}
		verifiers = append(verifiers, key)
	}
	if s.cfg.UserJWKS != "" {
		s.jwks = usertoken.OpenJWKS(s.cfg.UserJWKS, func(err error) { s.log.Warn("user token keys", zap.Error(err)) })
		verifiers = append(verifiers, s.jwks)
	}
	if len(verifiers) > 0 {
		s.users = usertoken.New(verifiers...)
	}
	return nil
}

// Addr is the address of the public listener.
func (s *Server) Addr() string { return s.public.Addr() }

// AdminAddr is the address of the admin listener.
func (s *Server) AdminAddr() string { return s.admin.Addr() }

// Close frees the listeners of a Server that is not run.
func (s *Server) Close() {
	s.public.Close()
	s.admin.Close()
}

// Run serves until ctx ends. Redis may be away at the start: Run waits for it, and answers 503 meanwhile. It may be
// called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait() // before the cancels above: what is waited for ends with its own context

	background, stop := context.WithCancel(context.WithoutCancel(ctx)) // outlives the requests
	defer stop()
	listen := func(name string, l *httpd.Server, until context.Context) {
		if err := l.Serve(until); err != nil {
			cancel(fmt.Errorf("%s: %w", name, err))
		}
	}
	wg.Go(func() { listen("admin listener", s.admin, background) })
	if s.jwks != nil {
		wg.Go(func() { s.jwks.Run(background) })
	}
	var requests sync.WaitGroup
	requests.Go(func() { listen("public listener", s.public, ctx) })
	s.log.Info("listening", zap.String("addr", s.Addr()), zap.String("admin_addr", s.AdminAddr()))

	st, err := s.open(ctx)
	if err != nil {
		cancel(err)
	}
	if st != nil {
		defer st.Close()
		h, err := s.start(background, &wg, st)
		if err != nil {
			cancel(err)
		} else {
			wg.Go(func() { <-ctx.Done(); h.Close() }) // requests that wait for receipts are answered now
		}
	}
	requests.Wait() // until ctx has ended and the requests under way are answered
	stop()
	wg.Wait() // what works in the background needs the store
	s.log.Info("stopped")
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// start sets everything up that needs Redis, and lets requests in.
func (s *Server) start(ctx context.Context, wg *sync.WaitGroup, st *store.Store) (*imhelper.Helper, error) {
	h, err := imhelper.New(ctx, imhelper.Options{
		SigningKeys: s.cfg.SigningKeys, MaxMessage: s.cfg.MaxMessage, Store: st,
	})
	if err != nil {
		return nil, err
	}
	mounts, err := s.mounts(ctx, wg, h)
	if err != nil {
		return nil, err
	}
	o := api.Options{
		Helper: h, Keys: api.NewKeys(s.cfg.APIKeys), AllowGuests: s.cfg.AllowGuests,
		AllowedOrigins: s.cfg.AllowedOrigins, Log: s.log, Metrics: s.metrics,
	}
	if s.users != nil {
		o.Users = s.users
	}
	if s.cfg.Webhook.URL != "" {
		hook, err := s.webhook(h)
		if err != nil {
			return nil, err
		}
		o.Webhook = hook
		wg.Go(func() { hook.Run(ctx) })
	}
	handler, err := api.New(o).Handler(mounts...)
	if err != nil {
		return nil, err
	}
	s.handler.Store(&handler)
	s.away.Store(nil)
	wg.Go(func() {
		onErr := func(err error) { s.log.Warn("janitor", zap.Error(err)) }
		_ = st.RunJanitor(ctx, "webapi", onErr) // ends with ctx
	})
	wg.Go(func() { s.probe(ctx, st) })
	wg.Go(func() { _ = h.SendNotices(ctx) }) // ends with ctx
	s.log.Info("ready", zap.String("addr", s.Addr()))
	return h, nil
}

func (s *Server) webhook(h *imhelper.Helper) (*webhook.Webhook, error) {
	c := s.cfg.Webhook
	return webhook.New(webhook.Options{
		Helper: h, URL: c.URL, Secrets: c.Secrets, Types: c.Types, Timeout: c.Timeout, Retries: c.Retries, Requests: c.Requests,
		Log: s.log, Metrics: s.metrics,
	})
}

// serve answers requests with the API, once there is one.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	h := s.handler.Load()
	if h == nil {
		api.Unavailable(w)
		return
	}
	(*h).ServeHTTP(w, r)
}

// open reaches Redis, however long it takes. It returns nil without an error when ctx ended first.
func (s *Server) open(ctx context.Context) (*store.Store, error) {
	for {
		st, err := store.Open(ctx, store.Options{
			URL: s.cfg.RedisURL, Partitions: s.cfg.Partitions, HistorySize: s.cfg.HistorySize,
			HistoryTTL: s.cfg.HistoryTTL, EventsSize: s.cfg.EventsSize, Embedded: s.cfg.Embedded, Name: "webapi",
		})
		switch {
		case err == nil:
			return st, nil
		case ctx.Err() != nil:
			return nil, nil
		case !errors.Is(err, store.ErrUnavailable):
			return nil, err
		}
		s.log.Warn("redis is not reachable, will retry", zap.Error(err))
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(openRetry):
		}
	}
}

// probe keeps /readyz true to whether Redis takes messages, and logs the changes.
func (s *Server) probe(ctx context.Context, st *store.Store) {
	name := "webapi-" + protocol.NewID()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := st.Probe(ctx, name, time.Now().String()) // a write: a replica would answer a ping
		switch was := s.away.Load(); {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.away.Store(&err)
			if was == nil {
				s.log.Warn("redis is away", zap.Error(err))
			}
		case was != nil:
			s.away.Store(nil)
			s.log.Info("redis is back")
		}
	}
}

// Ready says why requests are not answered now; nil when they are.
func (s *Server) Ready() error {
	if err := s.away.Load(); err != nil {
		return *err
	}
	return nil
}

// state is what /state shows.
func (s *Server) state() any {
	ready := s.Ready() == nil
	return struct {
		Started    time.Time `json:"started"`
		Ready      bool      `json:"ready"`
		Goroutines int       `json:"goroutines"`
		Partitions int       `json:"partitions"`
	}{s.started, ready, runtime.NumGoroutine(), s.cfg.Partitions}
}
