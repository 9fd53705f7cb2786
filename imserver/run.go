package imserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/entrance"
	"github.com/imtier/imtier/imserver/internal/tcp"
	"github.com/imtier/imtier/internal/admin"
	"github.com/imtier/imtier/internal/httpd"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/ticket"
)

const (
	// openRetry is the pause between two attempts to reach Redis at the start.
	openRetry = time.Second
	// flushDelay is how long a command to Redis may wait for others, counted from when nothing waited any more, and up to the
	// timer slack longer. It has to be longer than the pause between two connects of a storm, some 140 µs: otherwise two of three
	// have system calls of their own. A command that is alone does not wait.
	flushDelay = 200 * time.Microsecond
	// stopTimeout is what the node takes to sign off after its connections are gone.
	stopTimeout = 3 * time.Second
)

var errStarting = errors.New("starting: redis has not been reached yet")

// Server is one imserver.
type Server struct {
	cfg   Config
	log   *zap.Logger
	keys  ticket.Keys
	admin *httpd.Server
	addr  chan string
	node  atomic.Pointer[node]
}

// New checks the configuration and opens the admin listener. Nothing runs before Run.
func New(cfg Config, log *zap.Logger) (*Server, error) {
	keys, err := ticket.ParseKeys(cfg.SigningKeys)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	s := &Server{cfg: cfg, log: log, keys: keys, addr: make(chan string, 1)}
	s.admin, err = httpd.Listen(cfg.AdminListen, admin.Handler(admin.Options{
		Ready: s.ready, State: s.state, Metrics: prometheus.GathererFunc(s.gather),
	}), httpd.Options{ErrorLog: zap.NewStdLog(log)})
	if err != nil {
		return nil, fmt.Errorf("admin listener (IM_ADMIN_LISTEN): %w", err)
	}
	return s, nil
}

// AdminAddr is the address of the admin listener.
func (s *Server) AdminAddr() string { return s.admin.Addr() }

// PublicURL waits until clients can be let in and returns the URL they dial; empty when ctx ended first.
func (s *Server) PublicURL(ctx context.Context) string {
	select {
	case url := <-s.addr:
		return url
	case <-ctx.Done():
		return ""
	}
}

// Run serves until ctx ends, then lets go of all connections and returns. Redis may be away at the start: Run
// waits for it.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	adminCtx, stopAdmin := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAdmin()
	wg.Go(func() {
		if err := s.admin.Serve(adminCtx); err != nil {
			s.log.Error("admin listener", zap.Error(err))
		}
	})
	s.log.Info("admin listener", zap.String("addr", s.admin.Addr()))

	st, err := s.open(ctx)
	if err != nil {
		return err
	}
	if st == nil {
		return nil // told to stop before Redis was reached
	}
	defer st.Close()
	parker, err := tcp.NewParker()
	if err != nil {
		return fmt.Errorf("watch connections: %w", err)
	}
	wg.Go(parker.Run)
	defer parker.Close()
	n := newNode(s.cfg, s.keys, st, parker, s.log)
	return s.serve(ctx, n, parker)
}

// serve runs a node: what it starts it stops, in the opposite order.
func (s *Server) serve(ctx context.Context, n *node, parker *tcp.Parker) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	failed := func(err error) {
		if err != nil && ctx.Err() == nil {
			cancel(err)
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	public, err := entrance.Listen(s.cfg.Listen, parker, silentFiles(), n.server.Handler(), zap.NewStdLog(s.log))
	if err != nil {
		return fmt.Errorf("public listener (IM_LISTEN): %w", err)
	}
	defer public.Close()
	url, hereOnly := publicURL(s.cfg.PublicURL, public.Addr())
	if hereOnly {
		s.log.Warn("IM_PUBLIC_URL is not set: only clients on this host can connect", zap.String("addr", public.Addr()), zap.String("url", url))
	}
	n.lease.Node.URL = url
	s.node.Store(n)
	n.start(background, &wg, failed)
	if err := s.reach(ctx, func() error { return n.enter(ctx) }); err != nil || ctx.Err() != nil {
		return errors.Join(err, failure(ctx))
	}
	leased, endLease := context.WithCancel(background)
	var lease sync.WaitGroup
	lease.Go(func() { n.lease.Run(leased) })
	n.endLease = func() { endLease(); lease.Wait() }
	defer n.endLease()
	s.log.Info("ready", zap.String("node", n.lease.ID()), zap.String("addr", public.Addr()),
		zap.String("url", n.lease.Node.URL), zap.Int("max_connections", s.cfg.maxConns()))
	s.addr <- n.lease.Node.URL

	wg.Go(func() { s.drain(ctx, n) })
	serveErr := public.Serve(ctx)
	return errors.Join(serveErr, failure(ctx), s.stop(ctx, n))
}

// failure is why ctx ended, unless it was told to.
func failure(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// drain lets go of all connections when the program is to end, or an operator asked for it. Then it goes on: it is the
// operator who ends it.
func (s *Server) drain(ctx context.Context, n *node) {
	select {
	case <-ctx.Done():
		s.letGo(ctx, n) // at once, since nobody can connect any more: Serve may wait for a slow request
	case <-n.drain:
		s.log.Info("draining on request")
		s.letGo(ctx, n)
		s.log.Info("drained")
	}
}

// letGo announces that the node goes away and hands its connections over, spread over the drain time. Whoever calls it
// second, an operator or a signal, waits for the first.
func (s *Server) letGo(ctx context.Context, n *node) { n.letting.Do(func() { s.handOver(ctx, n) }) }

func (s *Server) handOver(ctx context.Context, n *node) {
	n.server.Drain()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DrainTimeout)
	defer cancel()
	if err := n.lease.SetDraining(end); err != nil {
		s.log.Warn("announce the drain", zap.Error(err))
	}
	h := &handover{n: n, keys: s.keys}
	h.read(end)
	looking, stop := context.WithCancel(end)
	var wg sync.WaitGroup
	wg.Go(func() { h.follow(looking) })
	n.hub.Drain(end, h.plan(s.cfg.DrainTimeout))
	stop()
	wg.Wait()
}

// stop ends a node that lets nobody in any more: sockets first, for they still need Redis to sign off.
func (s *Server) stop(ctx context.Context, n *node) error {
	s.log.Info("stopping", zap.Int("connections", n.hub.Len()))
	s.letGo(ctx, n)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	n.endLease() // or it would find that it is claimed, and take another name
	err := errors.Join(n.acks.Flush(end), n.leaver.Flush(end), n.store.RemoveNode(end, n.lease.ID()))
	s.log.Info("stopped")
	if err != nil {
		return fmt.Errorf("sign off, others will do it when the lease has run out: %w", err)
	}
	return nil
}

// open reaches Redis, however long it takes. It returns nil without an error when ctx ended first.
func (s *Server) open(ctx context.Context) (st *store.Store, err error) {
	grace := s.cfg.OfflineGrace
	if grace == 0 {
		grace = -1 // the store takes 0 for its default
	}
	err = s.reach(ctx, func() (err error) {
		st, err = store.Open(ctx, store.Options{
			URL: s.cfg.RedisURL, Partitions: s.cfg.Partitions, HistorySize: s.cfg.HistorySize,
			HistoryTTL: s.cfg.HistoryTTL, EventsSize: s.cfg.EventsSize, OfflineGrace: grace, Embedded: s.cfg.Embedded, FlushDelay: flushDelay, Name: "imserver",
		})
		return err
	})
	return st, err
}

// reach repeats what needs Redis until it succeeds, fails for another reason than that Redis is away, or ctx ends;
// the last is no error.
func (s *Server) reach(ctx context.Context, do func() error) error {
	for {
		err := do()
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case !errors.Is(err, store.ErrUnavailable):
			return err
		}
		s.log.Warn("redis is not reachable, will retry", zap.Error(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(openRetry):
		}
	}
}
