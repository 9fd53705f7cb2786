package fastpath

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/imtier/imtier/internal/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what happens soon.
const patience = 30 * time.Second

// running is a Listener and the http.Server behind it.
type running struct {
	*Listener
	http *http.Server
	log  logtest.Log
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
