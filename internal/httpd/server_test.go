package httpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves handler on a free port; stop ends it and returns Serve's error.
func start(t *testing.T, handler http.HandlerFunc, o Options) (url string, stop func() error) {
	t.Helper()
	srv, err := Listen("127.0.0.1:0", handler, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	return "http://" + srv.Addr(), func() error { cancel(); return <-done }
}

func get(url string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestRequestsUnderWayFinish(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	url, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		if r.Context().Err() != nil {
			t.Error("the request was cancelled though it had time")
		}
		_, _ = io.WriteString(w, "finished")
	}, Options{StopTimeout: time.Minute})

	answer := make(chan string, 1)
	go func() {
		body, err := get(url)
		if err != nil {
			body = err.Error()
		}
		answer <- body
	}()
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	eventually(t, func() bool { // accepting has ended
		c, err := net.Dial("tcp", url[len("http://"):])
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(release)
	if got := <-answer; got != "finished" {
		t.Errorf("answer = %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestSlowRequestsAreCutOff(t *testing.T) {
	arrived := make(chan struct{})
	url, stop := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}, Options{StopTimeout: 20 * time.Millisecond})
	answer := make(chan error, 1)
	go func() { _, err := get(url); answer <- err }()
	<-arrived
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := <-answer; err == nil {
		t.Error("the request got an answer, want it cut off")
	}
}

// What the fast path answers is finished or cut off like the rest.
func TestFastPath(t *testing.T) {
	for name, cutOff := range map[string]bool{"finished": false, "cut off": true} {
		t.Run(name, func(t *testing.T) {
			o := Options{FastPath: true, StopTimeout: time.Minute}
			if cutOff {
				o.StopTimeout = 20 * time.Millisecond
			}
			arrived, release := make(chan struct{}), make(chan struct{})
			url, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					return
				}
				if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
					t.Errorf("it is not on the fast path: %v", err)
				}
				close(arrived)
				select {
				case <-release:
				case <-r.Context().Done():
				}
				_, _ = io.WriteString(w, "finished")
			}, o)
			if _, err := get(url); err != nil { // by net/http
				t.Error(err)
			}
			c, err := net.Dial("tcp", url[len("http://"):])
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			<-arrived
			stopped := make(chan error, 1)
			go func() { stopped <- stop() }()
			if !cutOff {
				close(release)
			}
			answer, err := io.ReadAll(c)
			if got := strings.HasSuffix(string(answer), "finished"); got == cutOff {
				t.Errorf("the answer is %q, %v", answer, err)
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
		})
	}
}

// A body that does not come is an error for the handler. An answer may take as long as it likes.
func TestSlowBodiesAreNotWaitedFor(t *testing.T) {
	const limit = time.Second // in which what is sent at once arrives, on a busy machine too
	read := make(chan error, 1)
	url, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		if r.URL.Path == "/whole" {
			<-time.After(limit + limit/2)
			if r.Context().Err() != nil {
				t.Error("the request was cancelled while it was answered")
			}
		}
		read <- err
	}, Options{ReadTimeout: limit})
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	for path, body := range map[string]string{"/half": "half", "/whole": "a whole ."} {
		c, err := net.Dial("tcp", url[len("http://"):])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n%s", path, body); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-read:
			if cut := errors.Is(err, os.ErrDeadlineExceeded); cut != (path == "/half") || !cut && err != nil {
				t.Errorf("reading the body of %s: %v", path, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the body of %s is still waited for", path)
		}
	}
}

func TestPortInUse(t *testing.T) {
	srv, err := Listen("127.0.0.1:0", nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if other, err := Listen(srv.Addr(), nil, Options{}); err == nil {
		other.Close()
		t.Error("the port was opened twice")
	}
	srv.Close()
	again, err := Listen(srv.Addr(), nil, Options{})
	if err != nil {
		t.Fatalf("Close did not free the port: %v", err)
	}
	again.Close()
}

func TestLostListenerIsAnError(t *testing.T) {
	srv, err := Listen("127.0.0.1:0", nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	srv.listener.Close()
	if err := srv.Serve(t.Context()); err == nil {
		t.Error("Serve = nil, want the error")
	}
}

func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("it did not happen within 30 s")
		}
	}
}
