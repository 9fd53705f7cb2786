package webhook

import "github.com/prometheus/client_golang/prometheus"

// metrics of one webapi's webhook.
type metrics struct {
	delivered, failed, dead, lost prometheus.Counter
	stopped                       prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "imtier_webhook_" + name, Help: help})
	}
	m := &metrics{
		delivered: counter("delivered_total", "Events that the webhook's receiver took."),
		failed:    counter("failed_total", "Attempts to deliver an event that failed."),
		dead:      counter("dead_letters_total", "Events that were given up and kept as dead letters."),
		lost:      counter("lost_total", "Times that events were dropped before the webhook got them."),
		stopped: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "imtier_webhook_stopped", Help: "1 after the receiver has answered 410 Gone.",
		}),
	}
	reg.MustRegister(m.delivered, m.failed, m.dead, m.lost, m.stopped)
	return m
}
