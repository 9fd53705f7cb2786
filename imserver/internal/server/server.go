package server

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/imserver/internal/socket"
	"github.com/imtier/imtier/imserver/internal/tcp"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/ticket"
)

const (
	// admitTimeout bounds everything that a new connection needs of Redis.
	admitTimeout = 3 * time.Second
	// usedMargin is how much longer than a URL's life its use is remembered, for clocks that differ.
	usedMargin = 10 * time.Second
)

// Admitter registers a connection and makes it follow its streams; the bus does.
type Admitter interface {
	Admit(ctx context.Context, se store.Session) (*hub.Conn, error)
}

// Options of a server; all but Parker are required.
type Options struct {
	Keys       ticket.Keys
	Admitter   Admitter
	Ready      func() error // why nobody can be let in now
	Partition  func(clientID string) int
	Opened     func()             // counts
	Refused    func(status int)   // counts
	Limited    func(limit string) // counts
	Node       func() string      // this node's name now
	Origins    []string           // allowed beside the host itself; "*" allows all
	Proxies    Proxies            // whose X-Forwarded-For counts
	AddrRate   int                // connects per second of one address; 0 does not limit
	MaxConns   int
	MaxMessage int // bytes
	OutboxCap  int // bytes
	Ping       time.Duration
	Parker     *tcp.Parker // nil where the system has none
	Log        *zap.Logger
}

// Server answers on the public listener.
type Server struct {
	o        Options
	draining atomic.Bool
	taken    atomic.Int64 // of MaxConns: connections that are being let in, and those that were and have not left
	addrs    *addrLimit
}

// New makes a server.
func New(o Options) *Server { return &Server{o: o, addrs: newAddrLimit(o.AddrRate)} }

// Drain makes the server let nobody in any more.
func (s *Server) Drain() { s.draining.Store(true) }

// Draining reports whether Drain was called.
func (s *Server) Draining() bool { return s.draining.Load() }

// Left makes room for another connection. Call it once for each that was let in, when it has ended.
func (s *Server) Left() { s.taken.Add(-1) }

// Handler serves GET /ws.
func (s *Server) Handler() http.Handler {
	r := chi.NewRouter()
	r.Get("/ws", s.connect)
	return r
}

// connect lets a client in. The order matters: whatever can be refused without Redis is refused before, and the
// URL is used up last, so that a client told to retry later still can.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	s.taken.Add(1)
	let := false
	defer func() {
		if !let {
			s.taken.Add(-1)
		}
	}()
	from := s.o.Proxies.clientOf(r)
	handshake, ok := socket.ReadHandshake(r)
	if p := s.check(r, from, ok); p != nil {
		s.refuse(w, p)
		return
	}
	se, p := s.entry(r, from)
	if p != nil {
		s.refuse(w, p)
		return
	}
	// A client that gives up must not leave half a registration: this goes on without it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), admitTimeout)
	defer cancel()
	se.Positions = handshake.Subprotocol
	conn, err := s.o.Admitter.Admit(ctx, se)
	if err != nil {
		s.refuse(w, s.refusalOf(err, se))
		return
	}
	sock, answer, err := handshake.Upgrade(w, socket.Options{
		MaxMessage: s.o.MaxMessage, OutboxCap: s.o.OutboxCap, Parker: s.o.Parker, Handler: conn, Hello: func() []byte { return s.hello(se) },
	})
	if err != nil { // the connection is being closed
		conn.Abandon()
		s.refuse(w, refuseNotReady)
		return
	}
	s.o.Opened()
	let = true
	conn.Open(sock, answer)
}

// check looks at everything but the token.
func (s *Server) check(r *http.Request, from netip.Addr, handshake bool) *refusal {
	switch {
	case s.draining.Load():
		return refuseDraining
	case !handshake:
		return refuseNoUpgrade
	case !s.allowedOrigin(r):
		return refuseOrigin
	case s.taken.Load() > int64(s.o.MaxConns):
		return refuseFull
	}
	if s.o.Ready() != nil {
		return refuseNotReady
	}
	if !s.addrs.take(from, time.Now()) {
		return refuseAddr
	}
	return nil
}

func (s *Server) refusalOf(err error, se store.Session) *refusal {
	switch {
	case errors.Is(err, store.ErrURLUsed):
		return refuseUsed
	case errors.Is(err, store.ErrRevoked):
		return refuseRevoked
	case errors.Is(err, store.ErrTooOften):
		return refuseClient
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return refuseNotReady
	}
	s.o.Log.Error("admit", zap.String("client_id", se.ClientID), zap.String("conn_id", se.ConnID), zap.Error(err))
	return refuseInternal
}
