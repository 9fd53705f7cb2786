package api

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

// handle makes the handler of a route: parameters, body, work, answer.
func handle[In, Out any](a *API, r *route, b *binder, f func(context.Context, *In) (Out, error)) http.HandlerFunc {
	count := a.metrics.route(r.id)
	return func(w http.ResponseWriter, req *http.Request) {
		start := time.Now()
		status := r.status
		out, err := call(r, b, f, w, req)
		if err != nil {
			status = a.fail(w, r, err)
		} else {
			r.answer(w, out)
		}
		count.observe(status, time.Since(start))
	}
}

func call[In, Out any](r *route, b *binder, f func(context.Context, *In) (Out, error), w http.ResponseWriter, req *http.Request) (out Out, err error) {
	var in In
	if err := b.fill(req, &in); err != nil {
		return out, err
	}
	if b.body {
		if err := readJSON(w, req, r.maxBody, &in); err != nil {
			return out, err
		}
	}
	ctx := context.WithoutCancel(req.Context())
	if r.timeout != untimed {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	return f(ctx, &in)
}

// fail answers with an error's problem. Only what nobody expects is logged: the rest is the caller's to read.
func (a *API) fail(w http.ResponseWriter, r *route, err error) (status int) {
	p, unexpected := problemOf(err)
	if unexpected {
		a.log.Error("request failed", zap.String("route", r.id), zap.Error(err))
	}
	p.write(w)
	return p.Status
}

// Header values that every answer has: made once, written to by nobody.
var (
	jsonType = []string{"application/json"}
	noSniff  = []string{"nosniff"}
)

// answer writes a success.
func (r *route) answer(w http.ResponseWriter, out any) {
	h := w.Header()
	if r.noStore {
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
	}
	if r.status == http.StatusNoContent {
		w.WriteHeader(r.status)
		return
	}
	buf := answers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= maxKeptBuffer {
			answers.Put(buf)
		}
	}()
	body, err := appendJSON((*buf)[:0], out)
	if err != nil { // an output type that does not encode is a mistake of ours: the recoverer reports it
		panic("encode the answer of " + r.id + ": " + err.Error())
	}
	*buf = body
	h["Content-Type"] = jsonType
	h["X-Content-Type-Options"] = noSniff
	if len(body) > countedByServer {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(body) // the client may be gone
}

// countedByServer is up to which size, in bytes, net/http itself finds out how long an answer is, and cheaper than by a
// header of ours: it holds that much back in any case.
const countedByServer = 2048

// answers are buffers that are used again: net/http has copied or written what a handler gave it when that returns.
var answers = sync.Pool{New: func() any { return new([]byte) }}
