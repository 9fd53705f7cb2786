package scenario

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/report"
)

// report adds the numbers.
func (o *Send) report(ctx context.Context, res *report.Result, x *sending) error {
	for _, k := range x.kinds {
		o.rows(res, k, x.kinds)
		res.Took(k.name+", answered", k.answered)
		res.Took(k.name+", read by the receiver", k.delivered)
		res.Costs = append(res.Costs, x.cpu.cost(k.name, "send", k.sent))
	}
	if x.chain != nil {
		if err := x.chain.account(ctx, res, kindChain+", "); err != nil {
			return err
		}
	}
	if o.Offline {
		return nil
	}
	if err := x.to.account(ctx, res, ""); err != nil {
		return err
	}
	if !o.Acks {
		return nil
	}
	stats, err := x.to.Stats()
	res.Check("acknowledgements sent", float64(stats.Acks), "", report.AtLeast(1), "each of all that a client got in a second")
	return err
}

// account adds what the clients of an audience have got more or less than was sent to them.
func (a *audience) account(ctx context.Context, res *report.Result, whose string) error {
	got, err := counted(ctx, a.Crowd)
	if err != nil {
		return err
	}
	want := a.want
	if a.shuffled {
		got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	}
	checkCounts(res, whose+lostOrMore, got, want)
	return nil
}

// rows adds what there is to say of one kind.
func (o *Send) rows(res *report.Result, k *kind, all []*kind) {
	if o.Rate > 0 {
		o.rowsAtRate(res, k, all)
		return
	}
	rate := measure.Median(k.rates)
	if k.name == kindBatch {
		res.Check(k.name, rate, "sends/s", report.AtLeast(o.MinBatch), fmt.Sprintf("durable, %d at a time", k.each))
	} else {
		res.Add(k.name, rate, "sends/s", "")
	}
	if k.to != nil {
		res.Add(k.name+", until the last is read", measure.Median(k.arrived), "sends/s", "")
	}
	share := func(to string) (name string, value float64, ok bool) {
		value, ok = times(all, to, func(b *kind) ([]float64, []float64) { return k.rates, b.rates })
		return k.name + ", share of the " + to, value, ok
	}
	chain := func(to string, least float64) {
		if value, ok := times(all, to, func(b *kind) ([]float64, []float64) { return k.arrived, b.arrived }); ok {
			res.Check(k.name+", times the "+kindChain, value, "", report.AtLeast(least), ofRounds+", until the last is read")
		}
	}
	switch k.name {
	case kindDurable:
		if name, value, ok := share(kindBare); ok {
			res.Check(name, value, "", report.AtLeast(o.MinDurable), ofRounds)
		}
		chain(kindChain, o.MinChain)
	case kindEphemeral:
		if name, value, ok := share(kindBare); ok {
			res.Check(name, value, "", report.AtLeast(o.MinEphemeral), ofRounds)
		}
	case kindBatch:
		if name, value, ok := share(kindScript); ok {
			res.Check(name, value, "", report.AtLeast(o.MinBatchShare), ofRounds)
		}
		chain(kindChainBatch, o.MinBatchChain)
	}
}

// rowsAtRate adds what there is to say of one kind whose sends have times of their own.
func (o *Send) rowsAtRate(res *report.Result, k *kind, all []*kind) {
	const until = ", p99 until read by the receiver"
	switch {
	case k.to == nil:
	case k.bare():
		res.Add(k.name+until, p99(k.delivered), "ms", "from when the send was to begin")
	default:
		res.Check(k.name+until, p99(k.delivered), "ms", report.AtMost(ms(o.MaxP99)), "from when the send was to begin")
	}
	res.Add(k.name+", p99 until answered", p99(k.answered), "ms", "")
	if k.name == kindDurable {
		if value, ok := times(all, kindChain, func(b *kind) ([]float64, []float64) { return k.p99, b.p99 }); ok {
			res.Add(k.name+until+", times the "+kindChain, value, "", ofRounds)
		}
	}
	res.Add(k.name, measure.Median(k.rates), "sends/s", "")
}

// ofRounds is how a ratio comes about.
const ofRounds = "median of the rounds' ratios"

// times is the median of a kind's rounds relative to those of another, named to, if that took part.
func times(all []*kind, to string, rounds func(*kind) (mine, theirs []float64)) (float64, bool) {
	at := slices.IndexFunc(all, func(b *kind) bool { return b.name == to })
	if at < 0 {
		return 0, false
	}
	mine, theirs := rounds(all[at])
	ratios := make([]float64, len(mine))
	for i := range ratios {
		ratios[i] = mine[i] / theirs[i]
	}
	return measure.Median(ratios), true
}

// p99 is what 99 of 100 did not exceed, in milliseconds. Of nothing it is no number, which meets no goal.
func p99(l *measure.Latency) float64 {
	if l.Count() == 0 {
		return math.NaN()
	}
	return ms(l.Quantile(0.99))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
