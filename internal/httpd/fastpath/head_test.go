package fastpath

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// second is what a connection makes of b after the plain request first. known says that the header was.
func second(t testing.TB, first, b []byte) (r *http.Request, size int, known bool) {
	t.Helper()
	c := new(conn)
	if r, _ := c.next(context.Background(), first); r == nil {
		t.Fatalf("%q is not taken", first)
	}
	last := c.last
	r, size = c.next(context.Background(), b)
	return r, size, c.last == last
}

// sameAfter checks that b means after another request what it means as the first of its connection.
func sameAfter(t testing.TB, first, b []byte) (known bool) {
	t.Helper()
	got, size, known := second(t, first, b)
	want, wantSize := parse(b)
	switch {
	case got == nil && want == nil:
	case got == nil || want == nil || size != wantSize:
		t.Errorf("%q after %q: taken %v, %d bytes; as the first: %v, %d", b, first, got != nil, size, want != nil, wantSize)
	default:
		if got, want := see(t, got), see(t, want); !reflect.DeepEqual(got, want) {
			t.Errorf("%q after %q is\n%+v, as the first\n%+v", b, first, got, want)
		}
	}
	return known && got != nil
}

func TestAHeaderThatComesAgain(t *testing.T) {
	const line, end = "POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length:", "\r\nAuthorization: Bearer k\r\n\r\n"
	first := line + " 3 " + end + "abc"
	for name, c := range map[string]struct {
		text  string
		known bool
	}{
		"the same":                {first, true},
		"another body":            {line + " 3 " + end + "xyz", true},
		"a longer body":           {line + " 12 " + end + "abcdefghijkl", true},
		"no body":                 {line + " 0 " + end, true},
		"zeros before":            {line + " 003 " + end + "abc", true},
		"another one behind it":   {first + first, true},
		"half a body":             {line + " 12 " + end + "abc", false},
		"half a header":           {line + " 3 " + end[:8], false},
		"it ends in the length":   {line + " 3", false},
		"it ends in the line":     {line[:9], false},
		"nothing":                 {"", false},
		"another key":             {line + " 3 " + strings.Replace(end, "k", "l", 1) + "abc", false},
		"another path":            {strings.Replace(first, "/a", "/b", 1), false},
		"another field":           {line + " 3 \r\nX-A: b" + end + "abc", false},
		"another space":           {line + "  3 " + end + "abc", false},
		"a list of lengths":       {line + " 3, 3 " + end + "abc", false},
		"digits apart":            {line + " 3 3 " + end + "abc", false},
		"no digit":                {line + "  " + end + "abc", false},
		"a sign":                  {line + " +3 " + end + "abc", false},
		"too many digits":         {line + " 0000003 " + end + "abc", false},
		"a length without an end": {line + " 18446744073709551619 " + end + "abc", false},
	} {
		if known := sameAfter(t, []byte(first), []byte(c.text)); known != c.known {
			t.Errorf("%s: known %v", name, known)
		}
	}
}

// FuzzHead checks that what came before on a connection changes nothing.
func FuzzHead(f *testing.F) {
	f.Add([]byte(plainOne), []byte(plainOne))
	f.Add([]byte(plainOne), []byte(strings.Replace(plainOne, ": 9", ": 10", 1)+" "))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nX-A: 1\r\n\r\n1"), []byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 01\r\nX-A: 1\r\n\r\n1"))
	f.Fuzz(func(t *testing.T, first, b []byte) {
		if r, _ := parse(first); r != nil {
			sameAfter(t, first, b)
		}
	})
}

// What a handler keeps or changes of a request is not the next one's, its header excepted.
func TestRequestsOfAConnectionAreApart(t *testing.T) {
	kept := make(chan *http.Request, 1)
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case before := <-kept:
			b := make([]byte, 1)
			n, err := before.Body.Read(b)
			_, _ = fmt.Fprintf(w, "%d %v %q %q %v", n, err, before.URL.Path, r.URL.Path, r.Form)
		default:
			_ = r.ParseForm()
			r.URL.Path = "/changed"
			kept <- r
		}
	})
	c := dial(t, s.Addr())
	c.send(post("/a?b=c", "x") + post("/a?b=c", "yz"))
	c.hear()
	c.want(`0 EOF "/changed" "/a" map[]`)
}

func TestRequestsOfAConnectionHaveItsAddressAndContext(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(context.Background(), key{}, "server")
	c := &conn{remote: "192.0.2.1:1"}
	for range 2 {
		r, _ := c.next(ctx, []byte(plainOne))
		if r.RemoteAddr != c.remote || r.Context().Value(key{}) != "server" {
			t.Errorf("address %q, context %v", r.RemoteAddr, r.Context())
		}
	}
}

// BenchmarkNext is what taking a request apart costs, when its header is the last one's and when it is not.
func BenchmarkNext(b *testing.B) {
	one := []byte(plainOne)
	other := bytes.Replace(one, []byte("/v1"), []byte("/v2"), 1)
	for name, then := range map[string][]byte{"known": one, "new": other} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			c := new(conn)
			for b.Loop() {
				for _, text := range [][]byte{one, then} {
					if r, _ := c.next(b.Context(), text); r == nil {
						b.Fatal("not taken")
					}
				}
			}
		})
	}
}
