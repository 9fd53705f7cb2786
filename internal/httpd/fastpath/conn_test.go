package fastpath

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

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
