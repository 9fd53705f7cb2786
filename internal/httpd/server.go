package httpd

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/imtier/imtier/internal/httpd/fastpath"
)

const (
	// headerTimeout is what a client has to send its request's header in;
	// slower ones hold a connection for nothing.
	headerTimeout = 10 * time.Second
	// defaultReadTimeout is for the largest body, 16 MiB, at 4.5 Mbit/s.
	defaultReadTimeout = 30 * time.Second
	// idleTimeout ends kept-alive connections without a request; longer than
	// the 60 s after which common proxies drop theirs.
	idleTimeout = 75 * time.Second
	// maxHeader bounds the request line and header in bytes: an 8 KiB token in
	// the query and ordinary cookies fit.
	maxHeader = 32 << 10
	// defaultStopTimeout is how long requests under way may take to finish.
	defaultStopTimeout = 5 * time.Second
)

// Options of a Server; the zero value is usable.
type Options struct {
	// StopTimeout is how long requests under way may take after Serve's
	// context ended, before they are cut off. Zero means 5 s.
	StopTimeout time.Duration
	// ReadTimeout is how long a request, its body included, may take to
	// arrive; an answer may take longer. Zero means 30 s.
	ReadTimeout time.Duration
	// ErrorLog takes what net/http complains about, such as panics in
	// handlers. Nil means the standard logger.
	ErrorLog *log.Logger
	// FastPath lets package fastpath answer the requests that it can. Its
	// documentation says what that means for handlers of POST.
	FastPath bool
}

// Server is an HTTP server whose port is open.
type Server struct {
	listener net.Listener
	fast     *fastpath.Listener // nil: none; else it has the listener
	http     *http.Server
	stop     time.Duration
}

// Listen opens addr (host:port; port 0 takes a free one) for handler. It
// starts nothing: call Serve, or Close.
func Listen(addr string, handler http.Handler, o Options) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = defaultStopTimeout
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = defaultReadTimeout
	}
	if o.ErrorLog == nil {
		o.ErrorLog = log.Default()
	}
	s := &Server{
		listener: listener,
		stop:     o.StopTimeout,
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       o.ReadTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          o.ErrorLog,
		},
	}
	if o.FastPath {
		s.fast = fastpath.New(listener, handler, fastpath.Options{
			HeaderTime: headerTimeout, IdleTime: idleTimeout, Log: o.ErrorLog,
		})
		s.listener = s.fast
	}
	return s, nil
}

// Addr is the address in use, with the port that was chosen.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers requests until ctx ends. Then it accepts no more, waits up to
// StopTimeout for the requests under way, cuts off the rest and returns nil.
// Any other end is an error. It may be called once.
func (s *Server) Serve(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	if s.fast != nil {
		wg.Go(func() { s.fast.Run(requests) })
	}
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		s.Close()
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.stop)
	defer cancel()
	// A request that outlasts the time is cut off by Close; that is the
	// policy, so it is no error.
	if s.fast != nil {
		wg.Go(func() { s.fast.Drain(end) })
	}
	_ = s.http.Shutdown(end)
	wg.Wait()
	s.Close()
	// Both are the end of a port that was closed above.
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	}
	return nil
}

// Close frees the port and cuts off every request. It may be called at any
// time and more than once.
func (s *Server) Close() {
	_ = s.http.Close()
	_ = s.listener.Close() // http does not know it before Serve
	if s.fast != nil {
		s.fast.Cut()
	}
}
