package fastpath

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what happens soon.
const patience = 30 * time.Second

// logged is a log that tests look into.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *logged) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// running is a Listener and the http.Server behind it.
type running struct {
	*Listener
	http *http.Server
	log  logged
}

func openPort(t testing.TB) net.Listener {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func start(t testing.TB, h http.HandlerFunc, change ...func(*Options)) *running {
	t.Helper()
	s := &running{}
	o := Options{HeaderTime: patience, IdleTime: patience, Log: log.New(&s.log, "", 0)}
	for _, f := range change {
		f(&o)
	}
	s.Listener = New(openPort(t), h, o)
	s.http = &http.Server{Handler: h, ErrorLog: o.Log}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() { s.Run(ctx) })
	wg.Go(func() { _ = s.http.Serve(s.Listener) })
	t.Cleanup(func() {
		cancel()
		s.Cut()
		_ = s.http.Close()
		s.running.Wait()
		wg.Wait()
		if len(s.here) != 0 {
			t.Errorf("%d connections are noted after the end", len(s.here))
		}
	})
	return s
}

// client is a connection to a server, and what comes on it.
type client struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func dial(t testing.TB, addr net.Addr) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// heard is an answer.
type heard struct {
	status int
	header http.Header // without the date
	dated  bool
	length int64
	close  bool
	body   string
}

// hear reads one answer.
func (c *client) hear() heard {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, &http.Request{Method: http.MethodPost})
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = http.ParseTime(resp.Header.Get("Date"))
	if err == nil {
		resp.Header.Del("Date")
	}
	return heard{resp.StatusCode, resp.Header, err == nil, resp.ContentLength, resp.Close, string(b)}
}

// want reads one answer with that body.
func (c *client) want(body string) {
	c.t.Helper()
	if got := c.hear().body; got != body {
		c.t.Errorf("got %q, want %q", got, body)
	}
}

// wantEnd waits until the connection is closed, without another byte.
func (c *client) wantEnd() {
	c.t.Helper()
	if b, err := io.ReadAll(c.in); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("got %q, %v, want the end", b, err)
	}
}

func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

// which answers with who serves the request, its path and its body.
func which(w http.ResponseWriter, r *http.Request) {
	by := "net/http"
	if _, ours := w.(*answer); ours {
		by = "fastpath"
	}
	b, _ := io.ReadAll(r.Body) // a body that breaks off is seen in the answer
	_, _ = fmt.Fprintf(w, "%s %s %s", by, r.URL.Path, b)
}

func TestRequestsOfOneConnection(t *testing.T) {
	s := start(t, which)
	c := dial(t, s.Addr())
	for i := range 3 {
		c.send(post("/a", fmt.Sprint(i)))
		c.want(fmt.Sprintf("fastpath /a %d", i))
	}
	c.send(post("/b", "x") + post("/c", "") + post("/d", strings.Repeat("y", 1000))) // without waiting for answers
	c.want("fastpath /b x")
	c.want("fastpath /c ")
	c.want("fastpath /d " + strings.Repeat("y", 1000))
	c.send("GET /e HTTP/1.1\r\nHost: x\r\n\r\n")
	c.want("net/http /e ")
	c.send(post("/f", "x")) // for the rest of the connection
	c.want("net/http /f x")
}

// What is not complete when it is read goes on to net/http, wherever it is cut.
func TestRequestsInPieces(t *testing.T) {
	s := start(t, which)
	text := post("/a", "in the middle")
	for cut := 1; cut < len(text); cut += 7 {
		c := dial(t, s.Addr())
		c.send(post("/first", "") + text[:cut]) // one answer says that the piece was read with it, as a rule
		c.want("fastpath /first ")
		c.send(text[cut:])
		if got := c.hear().body; !strings.HasSuffix(got, " /a in the middle") {
			t.Errorf("cut after %d bytes: got %q", cut, got)
		}
	}
	c := dial(t, s.Addr())
	long := strings.Repeat("z", maxRequest)
	c.send(post("/long", long))
	c.want("net/http /long " + long)
}

// serveOne lets net/http serve what a connection brings, and returns what the handler saw, nil: nothing.
func serveOne(t testing.TB, b []byte) (got *seen, answer string) {
	t.Helper()
	theirs, ours := net.Pipe()
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if got == nil {
			x := see(t, r)
			got = &x
		}
	})}
	port := &onePort{conn: make(chan net.Conn, 1), done: make(chan struct{})}
	port.conn <- theirs
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(port) }()
	go func() { _, _ = ours.Write(b) }() // ends with the pipe
	resp, err := bufio.NewReader(ours).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	_ = s.Shutdown(context.Background())
	<-served
	return got, resp
}

// onePort is a port that one connection comes to.
type onePort struct {
	conn chan net.Conn
	done chan struct{}
	once sync.Once
}

func (p *onePort) Accept() (net.Conn, error) {
	select {
	case c := <-p.conn:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *onePort) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *onePort) Addr() net.Addr { return &net.TCPAddr{} }

// answeredByNetHTTP checks that net/http's server, which is stricter than its parser, lets a request through as well.
func answeredByNetHTTP(t testing.TB, b []byte, want seen) {
	t.Helper()
	got, answer := serveOne(t, b)
	if got == nil || !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Fatalf("%q is taken, net/http's server answers %q", b, answer)
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("%q is\n%+v, for handlers of net/http\n%+v", b, want, *got)
	}
}

// Handlers cannot tell the difference, and neither can clients.
func TestAnswersAreThoseOfNetHTTP(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"nothing":          func(http.ResponseWriter, *http.Request) {},
		"a status":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) },
		"an unknown one":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) },
		"no content":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"not modified":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"a problem":        func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) },
		"text":             func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "text") },
		"html":             func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"the first status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(500) },
		"a status too late": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "here")
			w.WriteHeader(500)
		},
		"json": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{"application/json"}
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, `{"a":`)
			_, _ = io.WriteString(w, `1}`)
		},
		"a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3000")
			_, _ = w.Write(make([]byte, 3000))
		},
		"encoded": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "text")
		},
		"no type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "text")
		},
		"several values": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("X-A", "1")
			w.Header().Add("X-A", "2")
			w.Header().Set("X-Empty", "")
		},
		"a line too many": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", "1\r\nX-B: 2") },
		"a body that is not allowed": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("writing: %v", err)
			}
		},
		"the last one": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") },
		"an echo":      func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) },
		"a date":       func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", "today") },
		"early hints": func(w http.ResponseWriter, _ *http.Request) {
			if _, ours := w.(*answer); !ours {
				return // net/http sends them, and they mean nothing
			}
			w.WriteHeader(http.StatusEarlyHints)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(w http.ResponseWriter, r *http.Request) {
				if _, ours := w.(*answer); ours != (r.URL.Path == "/ours") {
					t.Errorf("%s is served by a %T", r.URL.Path, w)
				}
				h(w, r)
			})
			ours, theirs := dial(t, s.Addr()), dial(t, s.Addr())
			theirs.send("POST /theirs HTTP/1.1\r\nHost: x\r\nOdd_Name: makes it net/http's\r\nContent-Length: 4\r\n\r\nbody")
			ours.send(post("/ours", "body"))
			got, want := ours.hear(), theirs.hear()
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if got.close {
				ours.wantEnd()
				return
			}
			ours.send(post("/ours", "body")) // nothing of the first is left
			if again := ours.hear(); !reflect.DeepEqual(again, got) {
				t.Errorf("again: %+v", again)
			}
		})
	}
}

func TestWhatHandlersMayNot(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, _ *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("flushing: %v", err)
		}
		if _, _, err := rc.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("taking it over: %v", err)
		}
		w.WriteHeader(1000)
	})
	c := dial(t, s.Addr())
	c.send(post("/", ""))
	c.wantEnd()
	if text := s.log.String(); !strings.Contains(text, "invalid status 1000") {
		t.Errorf("the log says %q", text)
	}
}

// A body that a handler kept has nothing of the requests that come later.
func TestBodiesEndWithTheirHandlers(t *testing.T) {
	var first io.Reader
	s := start(t, func(_ http.ResponseWriter, r *http.Request) {
		if first == nil {
			first = r.Body
			return
		}
		if b, err := io.ReadAll(first); len(b) > 0 || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
	})
	c := dial(t, s.Addr())
	for range 2 {
		c.send(post("/", "secret"))
		c.want("")
	}
}

func TestPanics(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/abort":
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		case "/panic":
			_, _ = io.WriteString(w, "half")
			panic("at the disco")
		}
	})
	for _, path := range []string{"/abort", "/panic"} {
		c := dial(t, s.Addr())
		c.send(post(path, ""))
		c.wantEnd()
		if text := s.log.String(); strings.Contains(text, "disco") != (path == "/panic") || strings.Contains(text, "abort") {
			t.Errorf("after %s the log says %q", path, text)
		}
	}
	c := dial(t, s.Addr())
	c.send(post("/", ""))
	c.want("") // nothing of the halves
}

// A connection may be silent before its first request, and between two, for as long as each time says; what is net/http's
// is silent by its rules.
func TestSilence(t *testing.T) {
	const short = time.Second
	header := func(o *Options) { o.HeaderTime = short }
	t.Run("before the first", func(t *testing.T) {
		t.Parallel()
		dial(t, start(t, which, header).Addr()).wantEnd()
	})
	t.Run("between two", func(t *testing.T) {
		t.Parallel()
		c := dial(t, start(t, which, func(o *Options) { o.IdleTime = short }).Addr())
		c.send(post("/a", ""))
		c.want("fastpath /a ")
		c.wantEnd()
	})
	for name, first := range map[string]string{"after the first": post("/a", ""), "for net/http": "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, start(t, which, header).Addr())
			c.send(first)
			c.hear()
			<-time.After(2 * short)
			c.send(post("/b", ""))
			c.hear()
		})
	}
}

func TestClientsThatGoAway(t *testing.T) {
	var wg sync.WaitGroup
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		defer wg.Done()
		_, _ = io.Copy(w, r.Body)
	})
	for range 20 {
		wg.Add(2)
		c := dial(t, s.Addr())
		c.send(post("/", strings.Repeat("x", 4000)) + post("/", "y")) // both are made though nobody reads
		c.Close()
	}
	wg.Wait()
}

func TestManyAtOnce(t *testing.T) {
	s := start(t, which)
	for i := range 16 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			c := dial(t, s.Addr())
			for j := range 100 {
				body := strings.Repeat(fmt.Sprintf("%d-%d ", i, j), 1+j)
				c.send(post("/a", body))
				c.want("fastpath /a " + body)
			}
		})
	}
}

// slow is a handler that tells when a request has come and waits for leave to answer.
type slow struct{ arrived, release chan struct{} }

func newSlow() *slow { return &slow{make(chan struct{}), make(chan struct{})} }

func (s *slow) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/slow" {
		s.arrived <- struct{}{}
		<-s.release
	}
	_, _ = io.WriteString(w, r.URL.Path)
}

func TestDrain(t *testing.T) {
	h := newSlow()
	s := start(t, h.serve)
	under, quiet, silent := dial(t, s.Addr()), dial(t, s.Addr()), dial(t, s.Addr())
	quiet.send(post("/", ""))
	quiet.want("/")
	under.send(post("/slow", ""))
	<-h.arrived
	drained := make(chan struct{})
	go func() { defer close(drained); s.Drain(t.Context()) }()
	quiet.wantEnd()
	silent.wantEnd()
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
	select {
	case <-drained:
		t.Fatal("a request is under way")
	default:
	}
	close(h.release)
	if got := under.hear(); got.body != "/slow" || !got.close {
		t.Errorf("got %+v", got)
	}
	under.wantEnd()
	<-drained
}

// writing is a port whose connections call a function before they write.
type writing struct {
	net.Listener
	before func()
}

type writingConn struct {
	net.Conn
	before func()
}

func (p *writing) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	return &writingConn{c, p.before}, err
}
func (c *writingConn) Write(b []byte) (int, error) { c.before(); return c.Conn.Write(b) }

// A connection that was busy when Drain looked, and already knew that another request may follow, is closed as well.
func TestDrainWhileAnswering(t *testing.T) {
	drained := make(chan struct{})
	port := &writing{Listener: openPort(t)}
	l := New(port, http.HandlerFunc(which), Options{HeaderTime: patience, IdleTime: patience, Log: log.Default()})
	port.before = sync.OnceFunc(func() {
		go func() { defer close(drained); l.Drain(t.Context()) }()
		for end := time.Now().Add(patience); !l.draining.Load() && time.Now().Before(end); runtime.Gosched() {
		}
		l.mu.Lock() // it has looked
		defer l.mu.Unlock()
	})
	go l.Run(t.Context())
	defer l.Cut()
	c := dial(t, l.Addr())
	c.send(post("/a", ""))
	if got := c.hear(); got.body != "fastpath /a " || got.close {
		t.Errorf("got %+v", got)
	}
	c.wantEnd()
	<-drained
}

// What was in the port's queue when it was closed is not served.
func TestComingTooLate(t *testing.T) {
	l := New(openPort(t), http.HandlerFunc(which), Options{HeaderTime: patience, IdleTime: patience, Log: log.Default()})
	c := dial(t, l.Addr())
	theirs, err := l.port.Accept()
	if err != nil {
		t.Fatal(err)
	}
	l.Cut()
	l.enter(t.Context(), theirs)
	c.wantEnd()
}

func TestCut(t *testing.T) {
	h := newSlow()
	s := start(t, h.serve)
	c := dial(t, s.Addr())
	c.send(post("/slow", ""))
	<-h.arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Drain(ctx) // has no time
	s.Cut()
	s.Cut()
	c.wantEnd()
	close(h.release)
	s.running.Wait()
}

func TestClosedBeforeItRuns(t *testing.T) {
	port := openPort(t)
	l := New(port, nil, Options{})
	if l.Addr() != port.Addr() {
		t.Error("it has another address")
	}
	l.Cut()
	l.Run(t.Context())
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}

// brokenPort fails once, then works.
type brokenPort struct {
	net.Listener
	failed bool
}

var errBroken = errors.New("out of descriptors")

func (p *brokenPort) Accept() (net.Conn, error) {
	if !p.failed {
		p.failed = true
		return nil, errBroken
	}
	return p.Listener.Accept()
}

// net/http decides what becomes of a port that fails: it pauses or gives up.
func TestThePortFails(t *testing.T) {
	l := New(&brokenPort{Listener: openPort(t)}, http.HandlerFunc(which), Options{HeaderTime: patience, IdleTime: patience, Log: log.Default()})
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(t.Context()) })
	defer wg.Wait()
	defer l.running.Wait()
	defer l.Cut()
	if _, err := l.Accept(); !errors.Is(err, errBroken) {
		t.Errorf("Accept: %v", err)
	}
	c := dial(t, l.Addr())
	c.send(post("/a", ""))
	c.want("fastpath /a ")
}

// BenchmarkRequest is one client that sends and waits, through this package and through net/http alone.
func BenchmarkRequest(b *testing.B) {
	h := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"x"}`)
	}
	text := plainHead + "\r\n" + plainBody
	for _, by := range []string{"fastpath", "nethttp"} {
		b.Run(by, func(b *testing.B) {
			s := start(b, h)
			c := dial(b, s.Addr())
			if err := c.SetDeadline(time.Time{}); err != nil {
				b.Fatal(err)
			}
			if by == "nethttp" {
				c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				c.hear()
			}
			for b.Loop() {
				c.send(text)
				c.hear()
			}
		})
	}
}
