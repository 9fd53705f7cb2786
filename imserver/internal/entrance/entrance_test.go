package entrance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/imserver/internal/tcp/tcptest"
	"github.com/imtier/imtier/internal/logtest"
)

const patience = 30 * time.Second

type running struct {
	*Server
	log  *logtest.Log
	stop func() error
}

func start(t *testing.T, h http.HandlerFunc, change ...func(*Server)) *running {
	t.Helper()
	l := new(logtest.Log)
	s, err := Listen("127.0.0.1:0", tcptest.StartParker(t), 0, h, log.New(l, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- s.Serve(ctx) }()
	r := &running{Server: s, log: l, stop: sync.OnceValue(func() error { cancel(); return <-result })}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if len(s.guests.here)+s.guests.silent.Len()+s.guests.high != 0 {
			t.Errorf("%d connections are noted after the end, %d with high descriptors", len(s.guests.here), s.guests.high)
		}
	})
	return r
}

func dial(t *testing.T, s *running) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// exchange sends text and returns everything that comes until the end.
func exchange(t *testing.T, s *running, text string) string {
	t.Helper()
	c := dial(t, s)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("after %q: %v", b, err)
	}
	return string(b)
}

const get = "GET /ws?token=x HTTP/1.1\r\nHost: here\r\n"

func TestAnswers(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil || host != "127.0.0.1" || r.URL.Query().Get("token") != "x" {
			t.Errorf("from %q, %v", r.RemoteAddr, r.URL)
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		w.WriteHeader(http.StatusOK) // too late
		_, _ = io.WriteString(w, "later")
	})
	for _, method := range []string{"GET", "HEAD"} {
		text := exchange(t, s, strings.Replace(get, "GET", method, 1)+"\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), &http.Request{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		want := map[string]string{"GET": "later"}[method]
		if err != nil || string(body) != want || !strings.HasSuffix(text, "\r\n\r\n"+want) {
			t.Errorf("%s: body %q, %v", method, body, err)
		}
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || resp.ContentLength != 5 || !resp.Close || resp.Header.Get("Date") == "" {
			t.Errorf("%s: %s %v", method, resp.Status, resp.Header)
		}
	}
}

func TestBadRequests(t *testing.T) {
	handler := func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }
	s := start(t, handler, func(s *Server) { s.patience = patience })
	hasty := start(t, handler, func(s *Server) { s.patience = time.Second })
	t.Run("gone", func(t *testing.T) { // nobody to answer: the end finds no connection noted
		c := dial(t, s)
		if _, err := io.WriteString(c, get); err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
	for _, tc := range []struct {
		name, text, want string
		by               *running
	}{
		{"garbage", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "HTTP/1.1 400 ", s},
		{"no host", "GET /ws HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", s},
		{"a header without a name", get + ": x\r\n\r\n", "HTTP/1.1 400 ", s},
		{"another version", "GET /ws HTTP/2.0\r\nHost: here\r\n\r\n", "HTTP/1.1 505 ", s},
		{"a body", get + "Content-Length: 3\r\n\r\nabc", "HTTP/1.1 413 ", s},
		{"a chunked body", get + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 413 ", s},
		{"an enormous line", "GET /" + strings.Repeat("x", 1<<20), "HTTP/1.1 431 ", s},
		{"a long line", "GET /" + strings.Repeat("x", maxHeader), "HTTP/1.1 431 ", s},
		{"many headers", get + strings.Repeat("X: y\r\n", maxHeader/6), "HTTP/1.1 431 ", s},
		{"half a header", get + "Upgr", "HTTP/1.1 408 ", hasty},
		{"nothing", "", "HTTP/1.1 408 ", hasty},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := exchange(t, tc.by, tc.text); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %.60q, want %q", got, tc.want)
			}
		})
	}
}

// takeOver hijacks, and sends back in capitals what was read ahead and what comes.
func takeOver(t *testing.T, lines int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		ahead, err := brw.Reader.Peek(brw.Reader.Buffered())
		if err != nil {
			t.Error(err)
		}
		in := bufio.NewReader(io.MultiReader(strings.NewReader(string(ahead)), c))
		if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("a second time: %v", err)
		}
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("writing: %v", err)
		}
		go func() {
			defer c.Close()
			for range lines {
				line, err := in.ReadString('\n')
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(c, strings.ToUpper(line)) // the test reads it
			}
		}()
	}
}

// What comes together with the request and what comes long after it both belong to who took the connection over.
func TestTakingOver(t *testing.T) {
	var c net.Conn
	write := func(text string) {
		t.Helper()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, takeOver(t, 3), func(s *Server) {
		s.patience = 100 * time.Millisecond
		c = dial(t, &running{Server: s}) // the request is there when its time begins
		write(get + "\r\nahead\n")
	})
	in := bufio.NewReader(c)
	hear := func(want string) {
		t.Helper()
		if got, err := in.ReadString('\n'); got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	hear("AHEAD\n")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	write("after the end\n")
	hear("AFTER THE END\n")
	<-time.After(2 * s.patience) // the time for a header is not for what comes after it
	write("late\n")
	hear("LATE\n")
}

// Many at once, some of which send nothing: nobody waits for another, and no goroutine is left.
func TestManyAtOnce(t *testing.T) {
	before := runtime.NumGoroutine() + 1 // the Parker's
	s := start(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Query().Get("token")) })
	var silent []net.Conn
	for range 20 {
		silent = append(silent, dial(t, s))
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				name := fmt.Sprintf("%d-%d", i, j)
				if got := exchange(t, s, "GET /?token="+name+" HTTP/1.1\r\nHost: here\r\n\r\n"); !strings.HasSuffix(got, "\r\n\r\n"+name) {
					t.Errorf("%s got %q", name, got)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range silent {
		c.Close()
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestAPanic(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("token") == "x" {
			panic("at the disco")
		}
	})
	if got := exchange(t, s, get+"\r\n"); got != "" {
		t.Errorf("got %q", got)
	}
	if got := exchange(t, s, "GET / HTTP/1.1\r\nHost: here\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("the next one got %q", got)
	}
	if text := s.log.String(); !strings.Contains(text, "at the disco") || !strings.Contains(text, "entrance_test.go") {
		t.Errorf("the log says %q", text)
	}
}

// A request under way is finished when the server stops; the port is free at once.
func TestStopping(t *testing.T) {
	under, finish := make(chan struct{}), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(under)
		<-finish
		_, _ = io.WriteString(w, "done")
	})
	c := dial(t, s)
	if _, err := io.WriteString(c, get+"\r\n"); err != nil {
		t.Fatal(err)
	}
	<-under
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	for end := time.Now().Add(patience); ; {
		other, err := net.Dial("tcp", s.Addr())
		if err != nil {
			break
		}
		other.Close()
		if time.Now().After(end) {
			t.Fatal("the port is still open")
		}
	}
	close(finish)
	if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "done") {
		t.Errorf("got %q, %v", b, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestThePortIsTaken(t *testing.T) {
	s := start(t, nil)
	if _, err := Listen(s.Addr(), nil, 0, nil, log.Default()); err == nil || !strings.Contains(err.Error(), s.Addr()) {
		t.Errorf("got %v", err)
	}
}
