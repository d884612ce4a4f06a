package budget

import "github.com/prometheus/client_golang/prometheus"

func needed() *prometheus.Desc {
	return prometheus.NewDesc("ibfabric_node_pkeys", "PKeys that the pods of a node need, the default one among them.", []string{"node"}, nil)
}

func limit() *prometheus.Desc {
	return prometheus.NewDesc("ibfabric_node_pkeys_limit", "Entries of a node's PKey table.", nil, nil)
}

// Describe implements prometheus.Collector.
func (b *Budget) Describe(ch chan<- *prometheus.Desc) {
	ch <- needed()
	ch <- limit()
}

// Collect implements prometheus.Collector.
func (b *Budget) Collect(ch chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(limit(), prometheus.GaugeValue, float64(b.room+1))
	for node, has := range b.nodes {
		ch <- prometheus.MustNewConstMetric(needed(), prometheus.GaugeValue, float64(len(has)+1), node)
	}
}
