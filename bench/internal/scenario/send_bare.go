package scenario

import (
	"context"
	"fmt"
	"slices"

	"github.com/imtier/imtier/bench/internal/bare"
	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/load"
)

// bareHandler starts what sends are compared with.
func (o *Send) bareHandler(ctx context.Context, x *sending) error {
	w, err := x.worker(ctx, bare.HandlerRole)
	if err != nil {
		return err
	}
	addr, err := bare.Handler{W: w}.Addr()
	if err != nil {
		return err
	}
	x.cpu.add("bare", w.PID())
	x.kinds = append(x.kinds, o.single(kindBare, addr, nil))
	return nil
}

// bareChain starts what durable sends and batches are compared with, and as many clients that it delivers to. It returns
// where sends go to.
func (o *Send) bareChain(ctx context.Context, x *sending) (addr string, err error) {
	var c bare.Chain
	if c.Publisher, err = x.worker(ctx, bare.PublisherRole); err != nil {
		return "", err
	}
	if c.Relay, err = x.worker(ctx, bare.RelayRole); err != nil {
		return "", err
	}
	addr, url, err := c.Start(x.redis)
	if err != nil {
		return "", err
	}
	fleet, err := x.fleet(ctx)
	if err != nil {
		return "", err
	}
	x.cpu.add("bare", c.Publisher.PID())
	x.cpu.add("bare relay", c.Relay.PID())
	x.cpu.add("clients", fleet.W.PID())
	x.chain = &audience{Crowd: clients.Crowd{fleet}, want: make([]int64, o.N), shuffled: true}
	_, err = x.chain.Open(func(int) clients.Plan { return clients.Plan{URL: url, Count: o.N, Parallel: o.Parallel} })
	return addr, err
}

// script adds what batches that nobody gets are compared with.
func (o *Send) script(ctx context.Context, x *sending) error {
	if !o.Baseline || !o.wants(kindBatch) || !o.Offline {
		return nil
	}
	p, err := bare.Script(ctx, x.redis, max(o.N, o.BatchSize), o.BatchSize, clients.Data(0, sendSize+envelopeSize))
	if err != nil {
		return fmt.Errorf("%s: %w", kindScript, err)
	}
	k := newKind(kindScript, o.BatchSize, 0, nil, o.paced(load.Plan{Open: p.Open, Senders: o.BatchSenders}, o.BatchSize))
	x.kinds = slices.Insert(x.kinds, len(x.kinds)-1, k) // right before the batches, which are last
	return nil
}
