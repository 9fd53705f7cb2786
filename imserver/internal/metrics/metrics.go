// Package metrics is the one place where imserver's metrics are named. Everything starts with imtier_; labels
// have few values: never a client, a group or a connection.
package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/pkg/protocol"
)

// Metrics of one node.
type Metrics struct {
	Registry *prometheus.Registry

	opened  prometheus.Counter
	closed  *prometheus.CounterVec
	refused *prometheus.CounterVec
	offered prometheus.Counter
	limited *prometheus.CounterVec
	answers *prometheus.CounterVec
}

// Source is where values come from that are read when they are asked for.
type Source struct {
	Stats     func() hub.Stats
	Counters  *hub.Counters
	Channels  func() int
	Malformed func() int64
	Leaving   func() int
	Connected func() bool
}

// New registers all metrics.
func New(src Source) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		opened:   prometheus.NewCounter(prometheus.CounterOpts(opts("connections_opened_total", "Connections let in."))),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts(opts("connections_closed_total",
			"Connections ended, by reason.")), []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts(opts("connections_refused_total",
			"Handshakes refused, by HTTP status.")), []string{"status"}),
		offered: prometheus.NewCounter(prometheus.CounterOpts(opts("handovers_offered_total",
			"Clients that were told to go to another node, while this one drained."))),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts(opts("limited_total",
			"Handshakes refused and connections ended because a limit was reached, by limit.")), []string{"limit"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts(opts("requests_answered_total",
			"Requests of clients, by what they were answered with: reply, or the code of the error.")), []string{"answer"}),
	}
	for _, l := range []string{"connections", "connects_per_ip", "connects_per_client", string(hub.TooManyFrames), string(hub.TooManyBytes)} {
		m.limited.WithLabelValues(l)
	}
	for _, r := range protocol.Reasons() {
		m.closed.WithLabelValues(r.String())
	}
	m.Registry.MustRegister(m.opened, m.closed, m.refused, m.offered, m.limited, m.answers,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	counter := func(name, help string, f func() int64) {
		m.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts(opts(name, help)),
			func() float64 { return float64(f()) }))
	}
	gauge := func(name, help string, f func() int) {
		m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts(name, help)),
			func() float64 { return float64(f()) }))
	}
	c := src.Counters
	counter("messages_delivered_total", "Frames handed to sockets as they arrived.", c.Delivered.Load)
	counter("messages_replayed_total", "Frames handed to sockets from the log.", c.Replayed.Load)
	counter("slow_total", "Times a connection fell behind because its peer did not read.", c.Behind.Load)
	counter("repairs_total", "Times a stream was read from the log because something was missing.", c.Repairs.Load)
	counter("gaps_total", "Gaps told to clients.", c.Gaps.Load)
	counter("arrivals_dropped_total", "Times messages were dropped for want of memory, and repaired.", c.Dropped.Load)
	counter("malformed_total", "Pushes or envelopes that could not be decoded.", src.Malformed)
	gauge("channels", "Redis channels subscribed to.", src.Channels)
	gauge("leaving", "Ended connections that Redis has not been told of yet.", src.Leaving)
	gauge("subscribed", "1 while the subscriptions are in force.", func() int {
		if src.Connected() {
			return 1
		}
		return 0
	})
	m.Registry.MustRegister(statsCollector{src.Stats})
	return m
}

func opts(name, help string) prometheus.Opts {
	return prometheus.Opts{Namespace: "imtier", Name: name, Help: help}
}

// Opened counts a connection that was let in.
func (m *Metrics) Opened() { m.opened.Inc() }

// Closed counts a connection that ended.
func (m *Metrics) Closed(r protocol.Reason) { m.closed.WithLabelValues(r.String()).Inc() }

// Refused counts a handshake that was refused.
func (m *Metrics) Refused(status int) { m.refused.WithLabelValues(strconv.Itoa(status)).Inc() }

// Offered counts a client that was told to go to another node.
func (m *Metrics) Offered() { m.offered.Inc() }

// Answered counts an answer to a client's request by the code of its error; without one a backend replied.
func (m *Metrics) Answered(code string) {
	if code == "" {
		code = "reply"
	}
	m.answers.WithLabelValues(code).Inc()
}

// Limited counts a handshake or a connection that went over a limit.
func (m *Metrics) Limited(limit string) { m.limited.WithLabelValues(limit).Inc() }
