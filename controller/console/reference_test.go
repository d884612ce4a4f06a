package console

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

var update = flag.Bool("update", false, "write docs/reference/metrics.md anew")

// families are all metrics of our own that a controller has.
func families(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	rec := record.New(zap.NewNop(), nil)
	c, err := controller.New(
		controller.Config{Fabric: "fabric", GUIDs: []guid.Range{{First: 1, Last: 9}}, FabricWorkers: 1, PKeyEntries: 128},
		controller.Deps{Fabric: controller.Noop{}, Record: rec, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	f := newFabric()
	f.put(1, 5)
	reg := prometheus.NewRegistry()
	for _, m := range append(c.Metrics(), rec, NewGauges(f.answers()), oneNode{}) {
		if err := reg.Register(m); err != nil {
			t.Fatal(err)
		}
	}
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// oneNode has the metric of nodes, which a controller has when a pod is on one.
type oneNode struct{}

func (oneNode) Describe(chan<- *prometheus.Desc) {}
func (oneNode) Collect(ch chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("ibfabric_node_pkeys", "PKeys that the pods of a node need, the default one among them.", []string{"node"}, nil)
	ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1, "node-1")
}

func metricsPage(all []*dto.MetricFamily) string {
	var b strings.Builder
	b.WriteString(`# Metrics of the controller

<!-- Made of the program's own metrics by a test: go test ./controller/console -run Reference -update -->

Every replica serves them at ` + "`/metrics`" + ` of ` + "`--console-address`" + `, by HTTPS and for those whose ClusterRole has
the nonresource URL ` + "`/metrics`" + ` with the verb get. The numbers of the fabric come from the leader alone: take max() over
replicas. Beside these there are those of Go, of the process, and of controller-runtime.

| metric | type | labels | meaning |
|---|---|---|---|
`)
	for _, f := range all {
		labels := map[string][]string{}
		var names []string
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if labels[l.GetName()] == nil {
					names = append(names, l.GetName())
				}
				if !slices.Contains(labels[l.GetName()], l.GetValue()) {
					labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
				}
			}
		}
		var texts []string
		for _, name := range names {
			values := labels[name]
			slices.Sort(values)
			text := "`" + name + "`"
			if name != "event" && name != "node" { // which the log's reference and the cluster have
				text += " (" + strings.Join(values, ", ") + ")"
			}
			texts = append(texts, text)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(texts, ", "), f.GetHelp())
	}
	return b.String()
}

func TestTheReferenceOfMetricsIsAsTheProgramHasThem(t *testing.T) {
	const file = "../../docs/reference/metrics.md"
	want := metricsPage(families(t))
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), want); diff != "" {
		t.Errorf("docs/reference/metrics.md is not what there is; run with -update (-page +program):\n%s", diff)
	}
}

func TestAStandbyHasNoNumbersOfTheFabric(t *testing.T) {
	f := newFabric()
	f.put(1, pkey.PKey(5))
	f.status = controller.Status{}
	reg := prometheus.NewRegistry()
	if err := reg.Register(NewGauges(f.answers())); err != nil {
		t.Fatal(err)
	}
	all, err := reg.Gather()
	if err != nil || len(all) != 1 || all[0].GetName() != "ibfabric_leader" || all[0].GetMetric()[0].GetGauge().GetValue() != 0 {
		t.Errorf("%v, %v", all, err)
	}
}
