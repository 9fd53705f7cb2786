package measure

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// Durations are kept in microseconds, up to a minute; what took longer counts as a minute.
	latencyUnit = time.Microsecond
	latencyMax  = int64(time.Minute / latencyUnit)
	// latencyDigits is how many digits of a duration are kept: an error of 0.1 % at most.
	latencyDigits = 3
	// curveTicks is how many points a distribution has while what is left of it halves.
	curveTicks = 4
)

// Latency is how long things took: a histogram of 140 KB, however many they are. It is not safe for concurrent use.
type Latency struct{ h *hdrhistogram.Histogram }

// NewLatency returns an empty one.
func NewLatency() *Latency { return &Latency{hdrhistogram.New(1, latencyMax, latencyDigits)} }

// Record adds a duration; less than nothing counts as nothing.
func (l *Latency) Record(d time.Duration) {
	_ = l.h.RecordValue(min(max(int64(d/latencyUnit), 0), latencyMax)) // within the bounds
}

// Merge adds what another one has.
func (l *Latency) Merge(other *Latency) { l.h.Merge(other.h) }

// Reset forgets everything.
func (l *Latency) Reset() { l.h.Reset() }

// Count is how many durations were recorded.
func (l *Latency) Count() int64 { return l.h.TotalCount() }

// Quantile is the duration that the share q (0 to 1) of them did not exceed.
func (l *Latency) Quantile(q float64) time.Duration {
	return time.Duration(l.h.ValueAtQuantile(100*q)) * latencyUnit
}

// Summary is a Latency in a few numbers, milliseconds.
type Summary struct {
	Count  int64   `json:"count"`
	Min    float64 `json:"min"`
	Mean   float64 `json:"mean"`
	StdDev float64 `json:"stddev"`
	P50    float64 `json:"p50"`
	P90    float64 `json:"p90"`
	P99    float64 `json:"p99"`
	P999   float64 `json:"p99.9"`
	Max    float64 `json:"max"`
}

// Summary computes it.
func (l *Latency) Summary() Summary {
	ms := func(v float64) float64 { return v * float64(latencyUnit) / float64(time.Millisecond) }
	at := func(q float64) float64 { return ms(float64(l.h.ValueAtQuantile(q))) }
	return Summary{
		Count: l.h.TotalCount(), Min: ms(float64(l.h.Min())), Max: ms(float64(l.h.Max())),
		Mean: ms(l.h.Mean()), StdDev: ms(l.h.StdDev()),
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
	}
}

// Percentile is one point of a distribution.
type Percentile struct {
	Percent float64 `json:"percent"`
	Millis  float64 `json:"ms"`
}

// Curve is the distribution, denser towards 100 percent; empty when nothing was recorded.
func (l *Latency) Curve() []Percentile {
	if l.Count() == 0 {
		return nil
	}
	brackets := l.h.CumulativeDistributionWithTicks(curveTicks)
	out := make([]Percentile, len(brackets))
	for i, b := range brackets {
		out[i] = Percentile{b.Quantile, float64(b.ValueAt) * float64(latencyUnit) / float64(time.Millisecond)}
	}
	return out
}

// MarshalBinary writes it in the HDR histogram's own compressed form, for another process.
func (l *Latency) MarshalBinary() ([]byte, error) { return l.h.EncodeV2() }

// UnmarshalBinary reads what MarshalBinary wrote.
func (l *Latency) UnmarshalBinary(b []byte) error {
	h, err := hdrhistogram.Decode(b)
	if err != nil {
		return fmt.Errorf("read a histogram: %w", err)
	}
	l.h = h
	return nil
}
