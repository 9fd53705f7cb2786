package scenario

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/report"
)

// report adds the numbers.
func (o *Send) report(res *report.Result, x *sending) error {
	for _, k := range x.kinds {
		o.rows(res, k, x.kinds)
		res.Took(k.name+", answered", k.answered)
		res.Took(k.name+", read by the receiver", k.delivered)
		res.Costs = append(res.Costs, x.cpu.cost(k.name, "send", k.sent))
	}
	if o.Offline {
		return nil
	}
	stats, err := x.crowd.Stats()
	if err != nil {
		return err
	}
	res.Check("messages lost or too many", math.Abs(float64(x.sent-stats.Messages)), "", report.AtMost(0),
		fmt.Sprintf("of %s", report.Number(float64(x.sent))))
	return nil
}

// rows adds what there is to say of one kind.
func (o *Send) rows(res *report.Result, k *kind, all []*kind) {
	if o.Rate > 0 {
		if k.arrives {
			res.Check(k.name+", p99 until read by the receiver", ms(k.delivered.Quantile(0.99)), "ms", report.AtMost(ms(o.MaxP99)),
				"from when the send was to begin")
		}
		res.Add(k.name+", p99 until answered", ms(k.answered.Quantile(0.99)), "ms", "")
		res.Add(k.name, measure.Median(k.rates), "sends/s", "")
		return
	}
	rate := measure.Median(k.rates)
	if k.name == kindBatch {
		res.Check(k.name, rate, "sends/s", report.AtLeast(o.MinBatch), fmt.Sprintf("durable, %d at a time", k.each))
	} else {
		res.Add(k.name, rate, "sends/s", "")
	}
	to, least := kindBare, o.MinDurable
	switch k.name {
	case kindEphemeral:
		least = o.MinEphemeral
	case kindBatch:
		to, least = kindScript, o.MinBatchShare
	case kindBare, kindScript:
		return
	}
	at := slices.IndexFunc(all, func(b *kind) bool { return b.name == to })
	if at < 0 {
		return
	}
	ratios := make([]float64, len(k.rates))
	for i := range ratios {
		ratios[i] = k.rates[i] / all[at].rates[i]
	}
	share, note := k.name+", share of the "+to, "median of the rounds' ratios"
	if to == kindScript && !o.Offline { // which delivers nothing: alone, that costs more than the script
		res.Add(share, measure.Median(ratios), "", note)
		return
	}
	res.Check(share, measure.Median(ratios), "", report.AtLeast(least), note)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
