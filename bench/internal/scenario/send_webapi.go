package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/load"
	"github.com/imtier/imtier/bench/internal/procs"
)

// throughWebapi starts webapi, and what single sends are compared with, and builds the requests.
func (o *Send) throughWebapi(ctx context.Context, x *sending) (err error) {
	if o.Senders == 0 {
		o.Senders = httpSenders
	}
	if o.Baseline && o.Kind != kindBatch {
		if err := o.bareHandler(ctx, x); err != nil {
			return err
		}
	}
	chain := ""
	if o.Baseline && !o.Offline && (o.wants(kindDurable) || o.wants(kindBatch)) {
		if chain, err = o.bareChain(ctx, x); err != nil {
			return err
		}
	}
	if x.api, err = x.webapi(ctx); err != nil {
		return err
	}
	x.cpu.add("webapi", x.api.PID())
	if chain != "" && o.wants(kindDurable) {
		x.kinds = append(x.kinds, o.single(kindChain, chain, x.chain))
	}
	for _, k := range []string{kindDurable, kindEphemeral} {
		if o.wants(k) {
			x.kinds = append(x.kinds, o.single(k, x.api.Addr, x.to))
		}
	}
	if chain != "" && o.wants(kindBatch) {
		x.kinds = append(x.kinds, o.batched(kindChainBatch, chain, x.chain))
	}
	if o.wants(kindBatch) {
		x.kinds = append(x.kinds, o.batched(kindBatch, x.api.Addr, x.to))
	}
	return nil
}

// sendBody is a send as webapi takes it.
type sendBody struct {
	Kind      string          `json:"kind,omitempty"` // in batches
	To        string          `json:"to,omitempty"`
	From      string          `json:"from"`
	Data      json.RawMessage `json:"data"`
	Ephemeral bool            `json:"ephemeral,omitempty"`
}

// encode writes values of this file's own types, which cannot fail.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// single is one send in one request.
func (o *Send) single(name, addr string, to *audience) *kind {
	requests := make([][]byte, o.N)
	for i := range requests {
		body := encode(sendBody{To: clients.ClientID(i), From: "bench", Data: clients.Data(0, sendSize), Ephemeral: name == kindEphemeral})
		requests[i] = load.Request(addr, "/v1/messages", sendKey, body)
	}
	h := load.HTTP{Addr: addr, Requests: requests, Stamp: clients.Stamp}
	return newKind(name, 1, o.N, to, o.paced(load.Plan{Open: h.Open, Senders: o.Senders}, 1))
}

// batched is many sends in one request.
func (o *Send) batched(name, addr string, to *audience) *kind {
	size := o.inBatch()
	var requests [][]byte
	for first := 0; first+size <= o.N; first += size {
		sends := make([]sendBody, size)
		for i := range sends {
			sends[i] = sendBody{Kind: "direct", To: clients.ClientID(first + i), From: "bench", Data: clients.Data(0, sendSize)}
		}
		body := encode(map[string]any{"sends": sends})
		requests = append(requests, load.Request(addr, "/v1/batch", sendKey, body))
	}
	h := load.HTTP{Addr: addr, Requests: requests, Stamp: clients.StampAll}
	return newKind(name, size, size*len(requests), to, o.paced(load.Plan{Open: h.Open, Senders: o.BatchSenders}, size))
}

// profile records what the servers do during a round; the function returned waits for the end.
func (o *Send) profile(ctx context.Context, x *sending, k *kind) (wait func() error) {
	servers := make(map[string]*procs.Server)
	if x.api != nil {
		servers["webapi"] = x.api
	}
	for _, n := range x.at {
		servers["imserver"] = n.srv
	}
	if o.Profiles == "" || k.bare() || len(servers) == 0 {
		return func() error { return nil }
	}
	seconds := max(1, int(o.Duration.Seconds()))
	errs := make(chan error, len(servers))
	for name, srv := range servers {
		file := filepath.Join(o.Profiles, k.name+"."+name+".pprof")
		go func() { errs <- srv.Profile(ctx, fmt.Sprintf("profile?seconds=%d", seconds), file) }()
	}
	return func() (all error) {
		for range servers {
			all = errors.Join(all, <-errs)
		}
		return all
	}
}
