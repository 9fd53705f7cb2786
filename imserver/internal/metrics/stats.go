package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imtier/imtier/imserver/internal/hub"
)

// statsCollector turns one snapshot of the hub into all its gauges: a snapshot visits every connection, so it is
// taken once a scrape.
type statsCollector struct{ stats func() hub.Stats }

var gauges = []struct {
	desc  *prometheus.Desc
	value func(hub.Stats) int
}{
	{desc("connections", "Connections now."), func(s hub.Stats) int { return s.Connections }},
	{desc("clients", "Clients with a connection here."), func(s hub.Stats) int { return s.Clients }},
	{desc("groups", "Groups followed here."), func(s hub.Stats) int { return s.Groups }},
	{desc("streams", "Streams followed here."), func(s hub.Stats) int { return s.Streams }},
	{desc("queue_bytes", "Bytes kept for peers that do not read."), func(s hub.Stats) int { return s.QueueBytes }},
	{desc("arrival_bytes", "Bytes of messages that wait for fan-out."), func(s hub.Stats) int { return s.Arrivals }},
	{desc("catching_up", "Connections and streams that wait to read the log."), func(s hub.Stats) int { return s.CatchingUp }},
}

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("imtier_"+name, help, nil, nil)
}

// Describe implements prometheus.Collector.
func (c statsCollector) Describe(to chan<- *prometheus.Desc) {
	for _, g := range gauges {
		to <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (c statsCollector) Collect(to chan<- prometheus.Metric) {
	s := c.stats()
	for _, g := range gauges {
		to <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(g.value(s)))
	}
}
