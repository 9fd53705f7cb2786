package scenario

import (
	"context"
	"flag"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/pkg/imhelper"
)

// Pipelined measures how many durable sends Redis accepts from one backend that uses imhelper. Nobody is connected.
type Pipelined struct {
	Common
	Receivers  int
	Senders    int
	BatchSize  int
	BatchConns int
	Rounds     int
	Duration   time.Duration
	MinRate    float64
}

// Register puts the flags into fs.
func (o *Pipelined) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.Receivers, "receivers", 10000, "clients, to whom messages go in turn")
	fs.IntVar(&o.Senders, "senders", 256, "goroutines that call Send")
	fs.IntVar(&o.BatchSize, "batch-size", 500, "sends in one Batch")
	fs.IntVar(&o.BatchConns, "batch-senders", 4, "goroutines that call Batch")
	fs.IntVar(&o.Rounds, "rounds", 5, "how often each way is measured, in turn")
	fs.DurationVar(&o.Duration, "duration", 2*time.Second, "of each measurement")
	fs.Float64Var(&o.MinRate, "min-rate", 60000, "least sends a second in batches")
	return o.Common.Register(fs)
}

// way is one way of sending.
type way struct {
	name    string
	senders int
	each    int                                // sends of one call
	call    func(context.Context, int64) error // with the number of the call
	rates   []float64
	sent    int64
}

// Run measures and prints.
func (o *Pipelined) Run(ctx context.Context, out io.Writer) error {
	s, err := newStage(ctx, o.Common, out)
	if err != nil {
		return err
	}
	defer s.close()
	h, err := imhelper.New(ctx, imhelper.Options{RedisURL: s.redis})
	if err != nil {
		return err
	}
	defer h.Close()
	cpu := newAccount()
	cpu.spenders[0].name = "backend" // it is imbench itself
	if s.ownRedis != nil {
		cpu.add("redis", s.ownRedis.PID())
	}
	ways := o.ways(h)
	s.logf("pipelined: %d rounds of %d ways, %v each …", o.Rounds, len(ways), o.Duration)
	for range o.Rounds {
		for _, w := range ways {
			if err := cpu.begin(); err != nil {
				return err
			}
			if err := o.measure(ctx, w); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if err := cpu.end(w.name); err != nil {
				return err
			}
		}
	}
	return o.report(out, ways, cpu)
}

func (o *Pipelined) ways(h *imhelper.Helper) []*way {
	data := clients.Data(0, sendSize)
	message := func(n int64) imhelper.Message {
		return imhelper.Message{To: []string{clients.ClientID(int(n % int64(o.Receivers)))}, From: "bench", Data: data}
	}
	single := func(ctx context.Context, n int64) error {
		_, err := h.Send(ctx, message(n))
		return err
	}
	batch := func(ctx context.Context, n int64) error {
		items := make([]imhelper.BatchItem, o.BatchSize)
		for i := range items {
			m := message(n*int64(o.BatchSize) + int64(i))
			items[i].Direct = &m
		}
		results, err := h.Batch(ctx, items)
		for _, r := range results {
			if err == nil {
				err = r.Err
			}
		}
		return err
	}
	return []*way{
		{name: fmt.Sprintf("Send, %d goroutines", o.Senders), senders: o.Senders, each: 1, call: single},
		{name: fmt.Sprintf("Batch of %d, %d goroutines", o.BatchSize, o.BatchConns), senders: o.BatchConns, each: o.BatchSize, call: batch},
	}
}

// measure calls from all senders until the time is over.
func (o *Pipelined) measure(ctx context.Context, w *way) error {
	var (
		wg    sync.WaitGroup
		next  atomic.Int64
		once  sync.Once
		first error
		over  atomic.Bool
	)
	begin := time.Now()
	timer := time.AfterFunc(o.Duration, func() { over.Store(true) })
	defer timer.Stop()
	for range w.senders {
		wg.Go(func() {
			for !over.Load() {
				if err := w.call(ctx, next.Add(1)); err != nil {
					once.Do(func() { first = err })
					return
				}
			}
		})
	}
	wg.Wait()
	sent := next.Load() * int64(w.each)
	w.sent += sent
	w.rates = append(w.rates, float64(sent)/time.Since(begin).Seconds())
	return first
}

// report prints the table and compares with the limit.
func (o *Pipelined) report(out io.Writer, ways []*way, cpu *account) error {
	t := measure.NewTable(out, fmt.Sprintf("durable sends of %d bytes through imhelper, accepted by Redis, medians of %d rounds", sendSize, o.Rounds))
	t.Row("", "sends/s", "least", "processor time, µs per send")
	limits := []string{"", fmt.Sprintf("%.0f/s", o.MinRate)}
	for i, w := range ways {
		t.Row(w.name, fmt.Sprintf("%.0f", measure.Median(w.rates)), limits[i], cpu.each(w.name, w.sent))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if rate := measure.Median(ways[1].rates); rate < o.MinRate {
		return fmt.Errorf("%.0f sends/s in batches: %w", rate, ErrOver)
	}
	return nil
}
