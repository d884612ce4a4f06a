package record

import "github.com/prometheus/client_golang/prometheus"

// newCounter counts the events by name, every one of the Catalogue from the start, so
// that a rate can be taken of what has not happened yet.
func newCounter() *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ibfabric_events_total",
		Help: "What the controller logged, by event.",
	}, []string{"event"})
	for _, e := range Catalogue() {
		c.WithLabelValues(string(e.Event))
	}
	return c
}

// Describe implements prometheus.Collector.
func (r *Recorder) Describe(ch chan<- *prometheus.Desc) { r.counts.Describe(ch) }

// Collect implements prometheus.Collector.
func (r *Recorder) Collect(ch chan<- prometheus.Metric) { r.counts.Collect(ch) }
