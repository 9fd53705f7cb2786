package scenario

import (
	"bytes"
	"context"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/load"
	"github.com/imtier/imtier/pkg/imhelper"
)

// throughImhelper makes imbench itself the backend.
func (o *Send) throughImhelper(ctx context.Context, x *sending) error {
	if o.Senders == 0 {
		o.Senders = helperSenders
	}
	x.cpu.spenders[0].name = "backend" // the generator calls imhelper
	h, err := imhelper.New(ctx, imhelper.Options{RedisURL: x.redis})
	if err != nil {
		return err
	}
	x.stops = append(x.stops, h.Close)
	for _, k := range []string{kindDurable, kindEphemeral} {
		if !o.wants(k) {
			continue
		}
		f := load.Func(func(ctx context.Context, i int64, at time.Time) error {
			m := o.message(i, at)
			m.Ephemeral = k == kindEphemeral
			_, err := h.Send(ctx, m)
			return err
		})
		x.kinds = append(x.kinds, newKind(k, 1, o.N, x.to, o.paced(load.Plan{Open: f.Open, Senders: o.Senders}, 1)))
	}
	if o.wants(kindBatch) {
		f := load.Func(func(ctx context.Context, i int64, at time.Time) error { return o.batch(ctx, h, i, at) })
		x.kinds = append(x.kinds, newKind(kindBatch, o.BatchSize, o.N, x.to,
			o.paced(load.Plan{Open: f.Open, Senders: o.BatchSenders}, o.BatchSize)))
	}
	return nil
}

// helperData is the data of every message, without the time.
var helperData = clients.Data(0, sendSize)

// message is the i-th one.
func (o *Send) message(i int64, at time.Time) imhelper.Message {
	data := bytes.Clone(helperData)
	if !o.Offline {
		clients.Stamp(data, at)
	}
	return imhelper.Message{To: []string{clients.ClientID(int(i % int64(o.N)))}, From: "bench", Data: data}
}

// batch sends the i-th one.
func (o *Send) batch(ctx context.Context, h *imhelper.Helper, i int64, at time.Time) error {
	items := make([]imhelper.BatchItem, o.BatchSize)
	for n := range items {
		m := o.message(i*int64(o.BatchSize)+int64(n), at)
		items[n].Direct = &m
	}
	results, err := h.Batch(ctx, items)
	for _, r := range results {
		if err == nil {
			err = r.Err
		}
	}
	return err
}
