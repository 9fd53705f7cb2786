package fastpath

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
)

const (
	plainHead = "POST /v1/messages HTTP/1.1\r\nHost: im.example:8081\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
	plainBody = `{"to":""}`
	plainOne  = plainHead + "\r\n" + plainBody
)

// parse takes a request apart that is the first of its connection.
func parse(b []byte) (r *http.Request, size int) { return new(conn).next(context.Background(), b) }

// seen is what a handler can see of a request.
type seen struct {
	Method, URL, RequestURI, Proto, Host, Body string
	Header                                     http.Header
	Length                                     int64
	Close, Coded                               bool
}

func see(t testing.TB, r *http.Request) seen {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return seen{
		r.Method, r.URL.String(), r.RequestURI, r.Proto, r.Host, string(b),
		r.Header, r.ContentLength, r.Close, r.TransferEncoding != nil,
	}
}

func TestPlainRequests(t *testing.T) {
	for name, text := range map[string]string{
		"one":                plainOne,
		"no body":            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"a query":            "POST /a?b=c&d=%20 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"an escaped path":    "POST /v1/groups/a%2Fb/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"lower case":         "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nauthorization: Bearer k\r\n\r\nx",
		"no space":           "POST / HTTP/1.1\r\nHost:x\r\nContent-Length:1\r\nX-Empty:\r\nX-Spaces:   a b  \r\n\r\nx",
		"fields repeated":    "POST / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3\r\nContent-Length: 1\r\n\r\nx",
		"kept alive":         "POST / HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
		"most fields":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + strings.Repeat("A: b\r\n", maxFields-2) + "\r\n",
		"an IPv6 host":       "POST / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n",
		"bytes in the body":  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n\r\n\r\n\x00\xff",
		"a length with zero": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 01\r\n\r\nx",
		"slashes":            "POST //a//b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if !sameAsNetHTTP(t, []byte(text)) {
				t.Error("it is not taken")
			}
			if !sameAsNetHTTP(t, []byte(text+plainOne)) {
				t.Error("it is not taken when another follows")
			}
			if r, _ := parse([]byte(text[:len(text)-1])); r != nil {
				t.Error("it is taken without its last byte")
			}
		})
	}
}

// sameAsNetHTTP reports whether b begins with a plain request, and if so checks that net/http reads the same there.
func sameAsNetHTTP(t *testing.T, b []byte) bool {
	t.Helper()
	r, size := parse(b)
	if r == nil {
		return false
	}
	in := bufio.NewReader(bytes.NewReader(b))
	theirs, err := http.ReadRequest(in)
	if err != nil {
		t.Fatalf("%q is taken, net/http says %v", b, err)
	}
	got, want := see(t, r), see(t, theirs)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q is\n%+v, by net/http\n%+v", b, got, want)
	}
	rest, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(rest, b[size:]) {
		t.Errorf("%q ends after %d bytes, by net/http after %d", b, size, len(b)-len(rest))
	}
	return true
}

// What has or might have another meaning is net/http's.
func TestUnusualRequests(t *testing.T) {
	const head, end = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n", "\r\nx"
	for name, text := range map[string]string{
		"nothing":                  "",
		"GET":                      "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"post":                     "post / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.0":                 "POST / HTTP/1.0\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/2":                   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"no version":               "POST /\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"a whole URL":              "POST http://x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"a star":                   "POST * HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"two spaces":               "POST  / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"a space in the path":      "POST /a b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"bytes in the path":        "POST /\xff HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"a bad escape":             "POST /%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"a line before":            "\r\n" + head + end,
		"lines that end with LF":   strings.ReplaceAll(head+end, "\r\n", "\n"),
		"one line ends with LF":    head + "X-A: b\nX-C: d\r\n" + end,
		"a CR in a value":          head + "X-A: b\rc\r\n" + end,
		"a NUL in a value":         head + "X-A: b\x00c\r\n" + end,
		"a tab in a value":         head + "X-A: b\tc\r\n" + end,
		"bytes in a value":         head + "X-A: \xc3\xa9\r\n" + end,
		"a line continued":         head + "X-A: b\r\n c\r\n" + end,
		"a space before the colon": head + "X-A : b\r\n" + end,
		"a space before a name":    head + " X-A: b\r\n" + end,
		"no colon":                 head + "X-A\r\n" + end,
		"no name":                  head + ": b\r\n" + end,
		"an odd name":              head + "X_A: b\r\n" + end,
		"too many fields":          head + strings.Repeat("A: b\r\n", maxFields-1) + end,
		"no host":                  "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
		"an empty host":            "POST / HTTP/1.1\r\nHost:\r\nContent-Length: 1\r\n\r\nx",
		"an odd host":              "POST / HTTP/1.1\r\nHost: a/b\r\nContent-Length: 1\r\n\r\nx",
		"two hosts":                head + "Host: x\r\n" + end,
		"no length":                "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
		"two lengths":              head + "Content-Length: 1\r\n" + end,
		"an empty length":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
		"a sign":                   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx",
		"a list of lengths":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\nx",
		"a long length":            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0000001\r\n\r\nx",
		"an endless length":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551617\r\n\r\nx",
		"chunks":                   head + "Transfer-Encoding: chunked\r\n" + end,
		"chunks in disguise":       head + "transfer-encoding: x\r\n" + end,
		"trailers":                 head + "Trailer: X-A\r\n" + end,
		"TE":                       head + "TE: trailers\r\n" + end,
		"an upgrade":               head + "Connection: Upgrade\r\nUpgrade: websocket\r\n" + end,
		"the last one":             head + "Connection: close\r\n" + end,
		"hop by hop":               head + "Connection: keep-alive, X-A\r\n" + end,
		"100-continue":             head + "Expect: 100-continue\r\n" + end,
		"Pragma":                   head + "Pragma: no-cache\r\n" + end,
		"half a header":            head,
		"half a body":              plainOne[:len(plainOne)-1],
	} {
		if r, _ := parse([]byte(text)); r != nil {
			t.Errorf("%s is taken: %q", name, text)
		}
	}
}

// FuzzParse checks that whatever is taken here is the same request, with the same end, as by net/http.
func FuzzParse(f *testing.F) {
	f.Add([]byte(plainOne))
	f.Add([]byte(plainOne + plainOne))
	f.Add([]byte("POST /a%2fb?c HTTP/1.1\r\nHost: [::1]\r\ncontent-length: 0\r\nX-A:  b c \r\nx-a:\r\nConnection: keep-alive\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if sameAsNetHTTP(t, b) {
			r, _ := parse(b)
			answeredByNetHTTP(t, b, see(t, r))
		}
	})
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
