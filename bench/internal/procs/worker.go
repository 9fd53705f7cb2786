package procs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// Worker is imbench again, in one of its roles. It does one thing at a time: a request is one JSON line on its
// standard input, the answer one on its standard output.
type Worker struct {
	*process
	role string
	in   io.WriteCloser
	out  *json.Decoder

	mu sync.Mutex // one call at a time
}

type request struct {
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args"`
}

type response struct {
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// StartWorker runs self (imbench's own file) in a role.
func StartWorker(ctx context.Context, self, role string) (*Worker, error) {
	cmd := exec.Command(self, role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start worker %s: %w", role, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start worker %s: %w", role, err)
	}
	p, err := start(ctx, role, cmd)
	if err != nil {
		return nil, err
	}
	return &Worker{process: p, role: role, in: in, out: json.NewDecoder(out)}, nil
}

// Call has the worker do op and waits for the answer. Result may be nil. It is bounded by the context that the
// worker was started with, and by the worker's own time-outs.
func (w *Worker) Call(op string, args, result any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("%s %s: %w", w.role, op, err)
	}
	if err := json.NewEncoder(w.in).Encode(request{Op: op, Args: a}); err != nil {
		return fmt.Errorf("%s %s: %w", w.role, op, err)
	}
	var resp response
	if err := w.out.Decode(&resp); err != nil {
		return fmt.Errorf("%s %s: the worker is gone: %w", w.role, op, err)
	}
	if resp.Error != "" {
		return fmt.Errorf("%s %s: %s", w.role, op, resp.Error)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(resp.Result, result)
}

// Stop ends the worker by the end of its input.
func (w *Worker) Stop() {
	_ = w.in.Close() // it may have ended already
	w.process.Stop()
}

// Ops are what a role can do, by name. A function gets the arguments and returns the result, both as JSON.
type Ops map[string]func(args json.RawMessage) (any, error)

// Work answers requests from in until it ends.
func Work(in io.Reader, out io.Writer, ops Ops) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var req request
		if err := dec.Decode(&req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		if err := enc.Encode(ops.do(req)); err != nil {
			return fmt.Errorf("answer %s: %w", req.Op, err)
		}
	}
}

func (o Ops) do(req request) response {
	f, ok := o[req.Op]
	if !ok {
		return response{Error: "unknown operation"}
	}
	v, err := f(req.Args)
	if err != nil {
		return response{Error: err.Error()}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return response{Error: err.Error()}
	}
	return response{Result: b}
}
