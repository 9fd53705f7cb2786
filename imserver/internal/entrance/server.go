package entrance

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/imtier/imtier/imserver/internal/tcp"
	"github.com/imtier/imtier/pkg/beat"
)

const (
	// headerTimeout is what a client has to send its request in; slower ones hold a descriptor for nothing.
	headerTimeout = 10 * time.Second
	// hurries is how many times in that time those are looked for that are late.
	hurries = 10
	// stopTimeout is how long requests under way may take to finish when Serve ends.
	stopTimeout = 5 * time.Second
	// keepWorker is how long a goroutine waits for its next connection: long enough for a storm of them.
	keepWorker = 100 * time.Millisecond
	// The pauses after an Accept that failed for now, such as for want of descriptors.
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Server is a listener and what answers on it. Its port is open from Listen on.
type Server struct {
	listener *tcp.Listener
	parker   *tcp.Parker // nil where the system has none
	handler  http.Handler
	log      *log.Logger
	patience time.Duration // headerTimeout, shorter in tests
	guests   *guests

	next    chan *guest   // to a worker that has nothing to do
	done    chan struct{} // closed when workers need not wait any more
	workers sync.WaitGroup
}

// Listen opens addr (host:port; port 0 takes a free one) for handler. It starts nothing: call Serve, or Close. Connections whose
// requests have not come wait with the Parker; without one, with nil, each has a goroutine. Descriptors from number files on are
// not theirs: when one is given to a connection, another that is silent is closed for it. 0 is no limit. The log takes panics of
// the handler.
func Listen(addr string, parker *tcp.Parker, files int, handler http.Handler, log *log.Logger) (*Server, error) {
	listener, err := tcp.Listen(addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return &Server{
		listener: listener, parker: parker, handler: handler, log: log, patience: headerTimeout,
		guests: newGuests(files),
		next:   make(chan *guest), done: make(chan struct{}),
	}, nil
}

// Addr is the address in use, with the port that was chosen.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers until ctx ends. Then it accepts no more, waits up to 5 seconds for the requests under way, cuts off the
// rest and returns nil. Any other end is an error. It may be called once.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.listener.Close() }) // ends Accept
	defer stop()
	s.workers.Go(s.hurry)
	err := s.accept(ctx)
	close(s.done)
	s.guests.end()
	timer := time.AfterFunc(stopTimeout, s.Close)
	defer timer.Stop()
	if err != nil {
		s.Close()
	}
	s.guests.served.Wait() // from here on nobody starts a worker
	s.workers.Wait()
	return err
}

// hurry gives those to workers whose requests should have come.
func (s *Server) hurry() {
	tick := time.NewTimer(beat.Until(s.patience / hurries))
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case now := <-tick.C:
			for _, g := range s.guests.late(now) {
				s.hand(g)
			}
			tick.Reset(beat.Until(s.patience / hurries))
		}
	}
}

// accept hands connections to workers until ctx ends, which is no error.
func (s *Server) accept(ctx context.Context) error {
	pause := minAcceptPause
	for {
		c, from, err := s.listener.Accept()
		var ne net.Error
		switch {
		case err == nil:
			pause = minAcceptPause
			g := &guest{Conn: c, server: s, from: from, due: time.Now().Add(s.patience)}
			if d, ok := c.(descriptor); ok {
				_ = d.With(func(fd int) error { g.fd = fd; return nil }) // fails only when closed
			}
			if !s.guests.enter(g) {
				_ = c.Close() // the server is closed
				continue
			}
			s.hand(g)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed) || !errors.As(err, &ne):
			return fmt.Errorf("accept on %s: %w", s.Addr(), err)
		default: // no descriptors, or a client that has gone already
			s.log.Printf("accept on %s: %v; next try in %v", s.Addr(), err, pause)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, maxAcceptPause)
		}
	}
}

// Close frees the port and cuts off every connection that no handler has taken over. It may be called at any time and
// more than once.
func (s *Server) Close() {
	_ = s.listener.Close() // a second close is harmless
	s.guests.close()
}
