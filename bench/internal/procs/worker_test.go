package procs

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// wire connects a Worker with Work, without a process between them.
func wire(t *testing.T, ops Ops) (w *Worker, end func()) {
	t.Helper()
	requests, in := io.Pipe()
	out, answers := io.Pipe()
	worked := make(chan error, 1)
	go func() {
		worked <- Work(requests, answers, ops)
		answers.Close()
	}()
	w = &Worker{role: "test", in: in, waiting: make(map[int64]chan<- response)}
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		w.follow(json.NewDecoder(out))
	}()
	return w, func() {
		in.Close()
		if err := <-worked; err != nil {
			t.Error(err)
		}
		<-followed
	}
}

func TestWorkerDoesSeveralThingsAtOnce(t *testing.T) {
	release := make(chan struct{})
	w, end := wire(t, Ops{
		"long":  func(json.RawMessage) (any, error) { <-release; return "long", nil },
		"short": func(raw json.RawMessage) (any, error) { return raw, nil },
	})
	long := make(chan error, 1)
	var got string
	go func() { long <- w.Call("long", nil, &got) }()
	for i := range 10 {
		var n int
		if err := w.Call("short", i, &n); err != nil || n != i {
			t.Fatalf("short(%d) = %d, %v", i, n, err)
		}
	}
	close(release)
	if err := <-long; err != nil || got != "long" {
		t.Errorf("long = %q, %v", got, err)
	}
	if err := w.Call("none", nil, nil); err == nil || !strings.Contains(err.Error(), "unknown operation") {
		t.Errorf("an operation that does not exist: %v", err)
	}
	end()
	if err := w.Call("short", 1, nil); err == nil {
		t.Error("a worker that is gone has answered")
	}
}

func TestCallEndsWithItsWorker(t *testing.T) {
	out, answers := io.Pipe()
	requests, in := io.Pipe()
	w := &Worker{role: "test", in: in, waiting: make(map[int64]chan<- response)}
	go func() {
		_, _ = requests.Read(make([]byte, 1<<10)) // the request; then the worker dies
		answers.Close()
		requests.Close()
	}()
	go w.follow(json.NewDecoder(out))
	if err := w.Call("any", nil, nil); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("got %v", err)
	}
}
