package entrance

import (
	"net"
	"net/http"
	"runtime/debug"
	"time"
)

// hand gives a connection to a worker that waits, or to a new one: nobody waits for a slow client's worker.
func (s *Server) hand(c net.Conn) {
	if !s.guests.enter(c) {
		_ = c.Close() // the server is closed
		return
	}
	select {
	case s.next <- c:
	default:
		s.workers.Add(1)
		go s.work(c)
	}
}

// work serves connections one after the other on a stack that has grown once, until none comes for a while.
func (s *Server) work(c net.Conn) {
	defer s.workers.Done()
	rest := time.NewTimer(keepWorker)
	defer rest.Stop()
	for {
		s.serve(c)
		rest.Reset(keepWorker)
		select {
		case c = <-s.next:
		case <-rest.C:
			return
		case <-s.done:
			return
		}
	}
}

// serve answers the one request of a connection.
func (s *Server) serve(c net.Conn) {
	in := takeInput(c)
	w := &response{conn: c, in: in, left: s.guests.leave}
	defer func() {
		if p := recover(); p != nil {
			s.log.Printf("panic serving %v: %v\n%s", c.RemoteAddr(), p, debug.Stack())
			if !w.hijacked {
				_ = c.Close() // half an answer helps nobody
			}
		}
		if !w.hijacked {
			s.guests.leave(c)
		}
		in.release()
	}()
	_ = c.SetReadDeadline(time.Now().Add(s.patience)) // fails only when closed; so does reading
	r, status := in.request()
	s.guests.speak(c)
	switch {
	case status == 0:
		_ = c.Close() // it sent nothing, or went away
		return
	case r == nil:
		http.Error(w, http.StatusText(status), status)
	default:
		r.RemoteAddr = c.RemoteAddr().String()
		w.head = r.Method == http.MethodHead
		s.handler.ServeHTTP(w, r)
	}
	if !w.hijacked {
		w.finish()
	}
}
