package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests. It keeps one handle per route and class, so that counting looks nothing up.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	panics   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "imtier_webapi_requests_total", Help: "Requests by route and class of the answer's status.",
		}, []string{"route", "class"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "imtier_webapi_request_seconds",
			Help:    "Time from the end of a request's header to its answer, by route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"route"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "imtier_webapi_panics_total", Help: "Requests that ended in a panic, answered with 500.",
		}),
	}
	reg.MustRegister(m.requests, m.seconds, m.panics)
	return m
}

// routeMetrics are the handles of one route.
type routeMetrics struct {
	class   [6]prometheus.Counter // by status/100
	seconds prometheus.Observer
}

func (m *metrics) route(id string) *routeMetrics {
	r := &routeMetrics{seconds: m.seconds.WithLabelValues(id)}
	for i, name := range [6]string{"other", "other", "2xx", "other", "4xx", "5xx"} {
		r.class[i] = m.requests.WithLabelValues(id, name)
	}
	return r
}

func (r *routeMetrics) observe(status int, took time.Duration) {
	r.class[status/100%6].Inc()
	r.seconds.Observe(took.Seconds())
}
