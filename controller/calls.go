package controller

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The calls to UFM, as metrics and the console name them.
const (
	callAdd         = "add"
	callRemove      = "remove"
	callRead        = "read"
	callReadAll     = "read-all"
	callQoS         = "qos"
	callSetQoS      = "set-qos"
	callLastUpdated = "last-updated"
)

// callNames are all of them.
func callNames() []string {
	return []string{callAdd, callRemove, callRead, callReadAll, callQoS, callSetQoS, callLastUpdated}
}

// Call is how one kind of call to UFM went so far.
type Call struct {
	Op            string
	Count, Failed int
	Sum, Max      time.Duration
	Last          time.Duration
	LastAt        time.Time
}

// calls times what UFM is asked for. It is a prometheus.Collector.
type calls struct {
	now     func() time.Time
	seconds *prometheus.HistogramVec

	mu sync.Mutex // protects by
	by map[string]*Call
}

func newCalls(now func() time.Time) *calls {
	c := &calls{now: now, by: map[string]*Call{}, seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ibfabric_ufm_call_duration_seconds",
		Help: "Time that UFM took for a call, by what was asked and how it went: ok, refused or error.",
		// A change costs a large fabric seconds: UFM sweeps it.
		Buckets: []float64{.01, .03, .1, .3, 1, 3, 10, 30},
	}, []string{"op", "outcome"})}
	for _, op := range callNames() {
		c.seconds.WithLabelValues(op, "ok")
		c.seconds.WithLabelValues(op, "error")
	}
	return c
}

// begin is called before a call, and what it returns when that was answered or given up.
func (c *calls) begin(op string) (done func(error)) {
	start := c.now()
	return func(err error) {
		end := c.now()
		took, outcome := end.Sub(start), "ok"
		switch {
		case err != nil && isRejected(err):
			outcome = "refused"
		case err != nil:
			outcome = "error"
		}
		c.seconds.WithLabelValues(op, outcome).Observe(took.Seconds())
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.by[op] == nil {
			c.by[op] = &Call{Op: op}
		}
		of := c.by[op]
		of.Count++
		if err != nil {
			of.Failed++
		}
		of.Sum += took
		of.Max = max(of.Max, took)
		of.Last, of.LastAt = took, end
	}
}

func (c *calls) all() (list []Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range c.by {
		list = append(list, *of)
	}
	slices.SortFunc(list, func(a, b Call) int { return cmp.Compare(a.Op, b.Op) })
	return list
}

// Describe implements prometheus.Collector.
func (c *calls) Describe(ch chan<- *prometheus.Desc) { c.seconds.Describe(ch) }

// Collect implements prometheus.Collector.
func (c *calls) Collect(ch chan<- prometheus.Metric) { c.seconds.Collect(ch) }
