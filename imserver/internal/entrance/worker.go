package entrance

import (
	"net/http"
	"runtime/debug"
	"time"
)

// hand gives a guest to a worker that waits, or to a new one: nobody waits for a slow client's worker.
func (s *Server) hand(g *guest) {
	select {
	case s.next <- g:
	default:
		s.workers.Add(1)
		go s.work(g)
	}
}

// work serves connections one after the other on a stack that has grown once, until none comes for a while.
func (s *Server) work(g *guest) {
	defer s.workers.Done()
	rest := time.NewTimer(keepWorker)
	defer rest.Stop()
	for {
		s.serve(g)
		s.guests.served.Done()
		rest.Reset(keepWorker)
		select {
		case g = <-s.next:
		case <-rest.C:
			return
		case <-s.done:
			return
		}
	}
}

// serve answers the one request of a connection, or parks it when nothing has come.
func (s *Server) serve(g *guest) {
	in := takeInput(g)
	defer in.release()
	if in.empty() && time.Now().Before(g.due) && s.park(g) {
		return
	}
	w := &response{conn: g.Conn, in: in, take: func() bool { return s.guests.take(g) }}
	defer func() {
		if p := recover(); p != nil {
			s.log.Printf("panic serving %v: %v\n%s", g.from, p, debug.Stack())
			if !w.hijacked {
				_ = g.Close() // half an answer helps nobody
			}
		}
		if !w.hijacked {
			s.guests.leave(g)
			if g.watched {
				s.parker.Forget(g.fd, g)
			}
		} // else its new owner waits in its place
	}()
	r, status := in.request()
	s.guests.speak(g)
	switch {
	case status == 0:
		_ = g.Close() // it sent nothing, or went away
		return
	case r == nil:
		http.Error(w, http.StatusText(status), status)
	default:
		r.RemoteAddr = g.from.String()
		w.head = r.Method == http.MethodHead
		s.handler.ServeHTTP(w, r)
	}
	if !w.hijacked {
		w.finish()
	}
}

// descriptor is a connection that a Parker can have.
type descriptor interface {
	With(func(fd int) error) error
}

// park leaves a silent guest to the Parker, when it can have it. In the end it is cut off instead.
func (s *Server) park(g *guest) bool {
	c, ok := g.Conn.(descriptor)
	if s.parker == nil || !ok {
		return false
	}
	g.watched = true
	if !s.guests.park(g) {
		_ = g.Close() // reading finds out
		return false
	}
	if c.With(func(fd int) error { return s.parker.Park(fd, g) }) == nil {
		return true
	}
	return !s.guests.unpark(g)
}
