package console

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// Gauges are the few numbers that say whether the fabric is right, as a
// prometheus.Collector. Only the leader knows them: another replica says that it does not
// lead. What a scrape counts is counted once for it and the console.
type Gauges struct{ a *Answers }

// NewGauges are those that answers are given from.
func NewGauges(a *Answers) Gauges { return Gauges{a} }

// gauge is a number of the fabric by one label, or by none.
type gauge struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	values func(o api.Overview, s controller.Status) map[string]float64 // by the label's value
}

func newGauge(name, help, label string, values func(api.Overview, controller.Status) map[string]float64) gauge {
	var labels []string
	if label != "" {
		labels = []string{label}
	}
	return gauge{prometheus.NewDesc("ibfabric_"+name, help, labels, nil), prometheus.GaugeValue, values}
}

func only(v float64) map[string]float64 { return map[string]float64{"": v} }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// ofReplica are known on every replica.
func ofReplica() []gauge {
	return []gauge{
		newGauge("leader", "1 on the replica that leads and has adopted what there is, 0 on the others.", "", func(_ api.Overview, s controller.Status) map[string]float64 {
			return only(truth(s.Leading && s.Adopted))
		}),
	}
}

// ofFabric are known on the leader alone.
func ofFabric(now func() time.Time) []gauge {
	counter := func(g gauge) gauge { g.kind = prometheus.CounterValue; return g }
	return []gauge{
		newGauge("members", "Memberships, a GUID in two partitions counting twice: desired by live pods; of those actual or pending in UFM; leaving and held of ended pods; unclaimed and foreign ones in UFM that no row explains.", "state", func(o api.Overview, _ controller.Status) map[string]float64 {
			m := o.Members
			return map[string]float64{
				"desired": float64(m.Desired), "actual": float64(m.Actual), "pending": float64(m.Pending), "leaving": float64(m.Leaving),
				"held": float64(m.Held), "unclaimed": float64(m.Unclaimed), "foreign": float64(m.Foreign),
			}
		}),
		newGauge("partitions", "Partitions in the ledger or in UFM.", "", func(o api.Overview, _ controller.Status) map[string]float64 { return only(float64(o.Partitions)) }),
		newGauge("drift_members", "Members by which UFM differs from the ledger, beside what is on its way in or out.", "", func(o api.Overview, _ controller.Status) map[string]float64 { return only(float64(o.Drift)) }),
		counter(newGauge("drift_found_total", "Members of live pods that UFM had lost, or had in another way.", "", func(o api.Overview, _ controller.Status) map[string]float64 { return only(float64(o.DriftFound)) })),
		counter(newGauge("drift_repaired_total", "Members of live pods that were put into UFM again.", "", func(o api.Overview, _ controller.Status) map[string]float64 { return only(float64(o.DriftRepaired)) })),
		newGauge("pods", "Pods that have not what they asked for: waiting ones get on by themselves, refused ones do not.", "state", func(o api.Overview, _ controller.Status) map[string]float64 {
			return map[string]float64{"waiting": float64(o.Waiting), "refused": float64(o.Refused)}
		}),
		newGauge("oldest_waiting_pod_seconds", "How long the pod waits that waits longest; 0: none does.", "", func(o api.Overview, _ controller.Status) map[string]float64 {
			if o.Oldest == nil {
				return only(0)
			}
			return only(max(0, now().Sub(o.Oldest.Since).Seconds()))
		}),
		newGauge("guids", "GUIDs of the pool: owned by pods, held before anybody else gets them, and free.", "state", func(_ api.Overview, s controller.Status) map[string]float64 {
			p := s.Pool
			return map[string]float64{"owned": float64(p.Owned), "held": float64(p.Held), "free": float64(p.Size - p.Owned - p.Held)}
		}),
		newGauge("stuck_holds", "Held GUIDs whose hold is over and whose node says nothing: they wait for it, or for ibfabric release.", "", func(o api.Overview, _ controller.Status) map[string]float64 { return only(float64(o.StuckHolds)) }),
		newGauge("ufm_up", "1 while UFM answers reads and takes changes.", "what", func(_ api.Overview, s controller.Status) map[string]float64 {
			return map[string]float64{"reads": truth(s.Reads.Err == nil), "changes": truth(s.Writes.Err == nil)}
		}),
		newGauge("ufm_full_read_timestamp_seconds", "When UFM was read in full last; 0: never.", "", func(_ api.Overview, s controller.Status) map[string]float64 {
			if s.Full.At.IsZero() {
				return only(0)
			}
			return only(float64(s.Full.At.UnixMilli()) / 1000)
		}),
		newGauge("ufm_unread_partitions", "Partitions whose members UFM could not tell when it was read last.", "", func(_ api.Overview, s controller.Status) map[string]float64 {
			return only(float64(len(s.Full.Unread)))
		}),
		newGauge("journal_unwritten", "Entries of the journal that are not in the API server yet.", "", func(o api.Overview, _ controller.Status) map[string]float64 {
			return only(float64(o.Journal.Unwritten))
		}),
	}
}

// Describe implements prometheus.Collector.
func (g Gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, of := range append(ofReplica(), ofFabric(g.a.now)...) {
		ch <- of.desc
	}
}

// Collect implements prometheus.Collector.
func (g Gauges) Collect(ch chan<- prometheus.Metric) {
	s := g.a.c.Status()
	list := ofReplica()
	var o api.Overview
	if s.Leading && s.Adopted {
		var err error
		if o, err = g.a.Overview(); err == nil {
			list = append(list, ofFabric(g.a.now)...)
		}
	}
	for _, of := range list {
		for label, v := range of.values(o, s) {
			var labels []string
			if label != "" {
				labels = []string{label}
			}
			ch <- prometheus.MustNewConstMetric(of.desc, of.kind, v, labels...)
		}
	}
}
