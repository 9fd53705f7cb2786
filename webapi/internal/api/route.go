package api

import (
	"context"
	"net/http"
	"time"
)

// access says who may call a route.
type access int

const (
	byKey  access = iota // an API key
	byUser               // an API key, the product's own user token or, when allowed, nobody in particular
)

// route is a row of the route table: how it is reached, how it is described, and what serves it.
type route struct {
	method, path string
	id           string // operationId, also the label of metrics
	tag          string // heading in the document
	summary      string // one line
	detail       string // more lines, optional
	access       access
	status       int           // of success
	maxBody      int64         // bytes; default maxPlainBody
	timeout      time.Duration // default opTimeout; or untimed
	noStore      bool          // the answer is a secret
	contentType  string        // of success; default JSON
	problems     []int         // statuses beyond those that every route has

	// The rest is filled in by serve.
	in, out any // zero values of the input and output types
	body    bool
	make    func(*API, *route) http.HandlerFunc
}

const (
	// opTimeout bounds one request's work. It does not end with the client's connection: a send is finished, or
	// fails, whether or not somebody waits for the answer. Below the 3 s that a caller may count on.
	opTimeout = 2800 * time.Millisecond
	// untimed is for the routes that are called most: all they do is one call of the store, which ends it in time by
	// itself, and a timer for each request is not free.
	untimed time.Duration = -1
	// bulkTimeout is for routes that make many round trips: each of them is bounded by the store.
	bulkTimeout = 30 * time.Second

	// maxPlainBody bounds bodies that hold names and settings: 2000 names of 128 bytes with escapes fit.
	maxPlainBody = 2 << 20
)

// empty is the output of routes that answer 204.
type empty struct{}

// serve completes a row with the function that serves it.
func serve[In, Out any](r route, f func(context.Context, *In) (Out, error)) route {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.maxBody == 0 {
		r.maxBody = maxPlainBody
	}
	if r.timeout == 0 {
		r.timeout = opTimeout
	}
	r.in, r.out = new(In), new(Out)
	b := newBinder(new(In))
	r.body = b.body
	r.make = func(a *API, r *route) http.HandlerFunc { return handle(a, r, b, f) }
	return r
}
