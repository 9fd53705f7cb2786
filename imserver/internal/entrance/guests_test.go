package entrance

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// Whoever holds connections without saying anything makes room for those who do; a request under way is left alone.
func TestSilentGuestsMakeRoom(t *testing.T) {
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
		if _, err := io.WriteString(c, "GET /ws"); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
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
