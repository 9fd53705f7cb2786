package entrance

import (
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whoever holds connections without saying anything makes room for those who do; a request under way is left alone.
func TestSilentGuestsMakeRoom(t *testing.T) {
	for name, text := range map[string]string{"half a request": "GET /ws", "nothing": ""} {
		t.Run(name, func(t *testing.T) { testSilentGuestsMakeRoom(t, text) })
	}
}

func testSilentGuestsMakeRoom(t *testing.T, text string) {
	const most = 4
	finish := make(chan struct{})
	under := make(chan struct{}, 1)
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			under <- struct{}{}
			<-finish
		}
		_, _ = io.WriteString(w, "done")
	}, func(s *Server) { s.guests.most = most })
	slow := dial(t, s)
	if _, err := io.WriteString(slow, "GET /slow HTTP/1.1\r\nHost: here\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-under

	const rounds = 3
	var silent []net.Conn
	for range rounds * most {
		c := dial(t, s)
		if _, err := io.WriteString(c, text); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	if got := exchange(t, s, get+"\r\n"); !strings.HasSuffix(got, "done") {
		t.Errorf("one that asks got %q", got)
	}
	for i, c := range silent[:(rounds-1)*most] { // long before their time for a header is over
		if b, err := io.ReadAll(c); len(b) != 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("silent connection %d got %q, %v", i, b, err)
		}
	}
	close(finish)
	if b, err := io.ReadAll(slow); err != nil || !strings.HasSuffix(string(b), "done") {
		t.Errorf("the one under way got %q, %v", b, err)
	}
	s.guests.mu.Lock()
	if n := s.guests.silent.Len(); n > most {
		t.Errorf("%d are silent, at most %d may be", n, most)
	}
	s.guests.mu.Unlock()
	for _, c := range silent {
		c.Close() // or the end waits for their headers
	}
}

// The descriptors that are kept for other things are not for who says nothing.
func TestSilentGuestsLeaveDescriptors(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") })
	if s.parker == nil {
		t.Skip("this system has no Parker, so guests have no descriptors")
	}
	here := func() (n int) {
		s.guests.mu.Lock()
		defer s.guests.mu.Unlock()
		return len(s.guests.here)
	}
	const before, more = 20, 40
	for range before {
		dial(t, s)
	}
	for end := time.Now().Add(patience); here() < before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d of %d are in", here(), before)
		}
	}
	s.guests.mu.Lock()
	for g := range s.guests.here {
		s.guests.files = max(s.guests.files, g.fd+1)
	}
	s.guests.mu.Unlock()
	var late []net.Conn
	for range more {
		late = append(late, dial(t, s))
	}
	// The test has as many descriptors of its own in between.
	if got := exchange(t, s, get+"\r\n"); !strings.HasSuffix(got, "done") {
		t.Errorf("one that asks got %q", got)
	}
	s.guests.mu.Lock()
	if n := s.guests.silent.Len(); n > before+1 { // the one that asked may be there still
		t.Errorf("%d are silent, %d before descriptors became few", n, before)
	}
	s.guests.mu.Unlock()
	if b, err := io.ReadAll(late[0]); len(b) != 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) { // long before its time is over
		t.Errorf("one that was silent got %q, %v", b, err)
	}
}

// A connection on which nothing comes has no goroutine, and is answered when something does.
func TestSilentGuestsCostNoGoroutine(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") })
	if s.parker == nil {
		t.Skip("this system has no Parker")
	}
	const silent = 30
	var conns []net.Conn
	for range silent {
		conns = append(conns, dial(t, s))
	}
	parked := func() (n int) {
		s.guests.mu.Lock()
		defer s.guests.mu.Unlock()
		for g := range s.guests.here {
			if g.parked {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(patience); parked() != silent; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d are parked, want %d", parked(), silent)
		}
	}
	for i, c := range conns {
		if i%2 == 0 {
			continue // is there when the server stops
		}
		text := get + "\r\n"
		for _, part := range []string{text[:i%len(text)], text[i%len(text):]} { // the rest comes while a worker waits for it
			if _, err := io.WriteString(c, part); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Millisecond)
		}
		if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "done") {
			t.Errorf("connection %d got %q, %v", i, b, err)
		}
	}
}

func TestNobodyIsParkedInTheEnd(t *testing.T) {
	gs := newGuests(0)
	g, late := new(guest), new(guest)
	if !gs.enter(g) {
		t.Fatal("not let in")
	}
	gs.end()
	if gs.park(g) || gs.wake(g) || gs.enter(late) {
		t.Error("parked, woken or let in after the end")
	}
}

func TestWithoutAParker(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") },
		func(s *Server) { s.parker = nil; s.patience = 500 * time.Millisecond })
	c := dial(t, s)
	if got := exchange(t, s, get+"\r\n"); !strings.HasSuffix(got, "done") {
		t.Errorf("got %q", got)
	}
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 408 ") {
		t.Errorf("one that sends nothing got %q, %v", b, err)
	}
}

// Whoever is being cut off is not taken over: its descriptor may be somebody else's by then.
func TestWhoIsCutOffIsNotTakenOver(t *testing.T) {
	gs := newGuests(0)
	gs.most = 1
	near, far := net.Pipe()
	defer far.Close()
	first := &guest{Conn: near, server: &Server{guests: gs}}
	if !gs.enter(first) || !gs.enter(new(guest)) {
		t.Fatal("not let in")
	}
	if gs.take(first) {
		t.Error("taken over when the next one had its place")
	}

	under, closed := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	s := start(t, func(w http.ResponseWriter, _ *http.Request) {
		close(under)
		<-closed
		_, _, err := http.NewResponseController(w).Hijack()
		result <- err
	})
	c := dial(t, s)
	if _, err := io.WriteString(c, get+"\r\n"); err != nil {
		t.Fatal(err)
	}
	<-under
	s.guests.close()
	close(closed)
	if err := <-result; !errors.Is(err, net.ErrClosed) {
		t.Errorf("taken over after the end: %v", err)
	}
}
