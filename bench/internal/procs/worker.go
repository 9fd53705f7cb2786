package procs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Worker is imbench again, in one of its roles: a request is one JSON line on its standard input, the answer one on
// its standard output. Requests that are under way together are worked on together.
type Worker struct {
	*process
	role string
	in   io.WriteCloser

	mu      sync.Mutex
	last    int64                     // number of the last request
	waiting map[int64]chan<- response // by number; each has room for its answer
	gone    error                     // why no answer will come any more
}

type request struct {
	ID   int64           `json:"id"`
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args"`
}

type response struct {
	ID     int64           `json:"id"`
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// StartWorker runs self (imbench's own file) in a role.
func StartWorker(ctx context.Context, self Program, role string) (*Worker, error) {
	cmd := self.command(os.Environ(), role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start worker %s: %w", role, err)
	}
	// A pipe of our own: Wait would close the other kind while the last answers are read.
	out, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start worker %s: %w", role, err)
	}
	defer w.Close()
	cmd.Stdout = w
	p, err := start(ctx, role, cmd)
	if err != nil {
		out.Close()
		return nil, err
	}
	worker := &Worker{process: p, role: role, in: in, waiting: make(map[int64]chan<- response)}
	go func() { // until the process ends, which closes the pipe
		defer out.Close()
		worker.follow(json.NewDecoder(out))
	}()
	return worker, nil
}

// follow hands answers to who waits for them.
func (w *Worker) follow(out *json.Decoder) {
	for {
		var resp response
		err := out.Decode(&resp)
		w.mu.Lock()
		if err != nil {
			w.gone = fmt.Errorf("the worker is gone: %w", err)
			for id, c := range w.waiting {
				delete(w.waiting, id)
				close(c)
			}
			w.mu.Unlock()
			return
		}
		if c := w.waiting[resp.ID]; c != nil {
			delete(w.waiting, resp.ID)
			c <- resp
		}
		w.mu.Unlock()
	}
}

// Call has the worker do op and waits for the answer. Result may be nil. It is bounded by the context that the
// worker was started with, and by the worker's own time-outs. It may be called from several goroutines at once.
func (w *Worker) Call(op string, args, result any) error {
	a, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("%s %s: %w", w.role, op, err)
	}
	answer, err := w.send(op, a)
	if err != nil {
		return fmt.Errorf("%s %s: %w", w.role, op, err)
	}
	resp, ok := <-answer
	switch {
	case !ok:
		return fmt.Errorf("%s %s: %w", w.role, op, w.gone) // set before the channel was closed
	case resp.Error != "":
		return fmt.Errorf("%s %s: %s", w.role, op, resp.Error)
	case result == nil:
		return nil
	}
	return json.Unmarshal(resp.Result, result)
}

// send writes a request. The channel that it returns gets the answer, or is closed without one.
func (w *Worker) send(op string, args []byte) (<-chan response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone != nil {
		return nil, w.gone
	}
	w.last++
	answer := make(chan response, 1)
	w.waiting[w.last] = answer
	if err := json.NewEncoder(w.in).Encode(request{ID: w.last, Op: op, Args: args}); err != nil {
		delete(w.waiting, w.last)
		return nil, err
	}
	return answer, nil
}

// Stop ends the worker by the end of its input.
func (w *Worker) Stop() {
	_ = w.in.Close() // it may have ended already
	w.process.Stop()
}

// Ops are what a role can do, by name. A function gets the arguments and returns the result, both as JSON. It may be
// called while another one is at work.
type Ops map[string]func(args json.RawMessage) (any, error)

// Work answers requests from in until it ends, each in a goroutine of its own, and returns when all are answered.
func Work(in io.Reader, out io.Writer, ops Ops) error {
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex // guards enc and bad
		bad error
	)
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	defer wg.Wait()
	for {
		var req request
		if err := dec.Decode(&req); errors.Is(err, io.EOF) {
			wg.Wait()
			return bad
		} else if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		wg.Go(func() {
			resp := ops.do(req)
			mu.Lock()
			defer mu.Unlock()
			if err := enc.Encode(resp); err != nil && bad == nil {
				bad = fmt.Errorf("answer %s: %w", req.Op, err)
			}
		})
	}
}

func (o Ops) do(req request) response {
	f, ok := o[req.Op]
	if !ok {
		return response{ID: req.ID, Error: "unknown operation"}
	}
	v, err := f(req.Args)
	if err != nil {
		return response{ID: req.ID, Error: err.Error()}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return response{ID: req.ID, Error: err.Error()}
	}
	return response{ID: req.ID, Result: b}
}
