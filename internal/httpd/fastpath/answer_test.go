package fastpath

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

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
