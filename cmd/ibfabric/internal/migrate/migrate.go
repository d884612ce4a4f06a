// Package migrate says how a cluster moves from ib-kubernetes to ibfabric: what of it is
// there, what each of its settings becomes, which pods would not be taken over, and which
// step comes next. Look reads the cluster and Examine judges what was read; neither changes
// anything.
package migrate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/doctor"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/facts"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/guid"
)

// Row and its states are the doctor's.
type (
	Row   = doctor.Row
	State = doctor.State
)

// The verdicts.
const (
	OK   = doctor.OK
	Mend = doctor.Mend
	Info = doctor.Info
)

func row(s State, check, seen string, mend ...string) Row {
	return Row{State: s, Check: check, Seen: seen, Mend: mend}
}

// Report is all that is said.
type Report struct {
	OK   bool `json:"ok"`   // nothing is to be mended
	Done bool `json:"done"` // no step is left
	// Namespace is where the release goes, since UFM's Secret is there.
	Namespace string    `json:"namespace"`
	Found     []Found   `json:"found"`
	Settings  []Setting `json:"settings"`
	Pods      Pods      `json:"pods"`
	Rows      []Row     `json:"rows"` // what is to be mended, and what to know
	Steps     []Step    `json:"steps"`
	Back      []string  `json:"back,omitempty"` // the commands back to ib-kubernetes, from here
	// Values are for the chart; nil where no settings of ib-kubernetes are there to be read.
	Values *Values `json:"values,omitempty"`
}

// Found is a part of one of both that is there.
type Found struct {
	What  string `json:"what"`
	Where string `json:"where"`
	Seen  string `json:"seen"`
}

// Examine judges all that was read.
func Examine(f Facts, now time.Time) Report {
	r := Report{Namespace: f.namespace(), Found: []Found{}, Settings: []Setting{}}
	r.Rows = append(f.unreadable(), f.networks()...)
	ranges := f.ranges()
	if s, ok := f.settings(); ok {
		m := f.translate(s)
		m.policies(&f)
		r.Settings, r.Values = m.settings, &m.values
		r.Rows = append(r.Rows, m.judged(len(f.Controllers.Value) > 0)...)
		if len(ranges) == 0 {
			ranges = m.ranges
		}
	}
	if len(ranges) == 0 {
		ranges = defaultRange()
	}
	r.Pods = f.judge(ranges)
	for _, l := range r.Pods.Left {
		r.Rows = append(r.Rows, l.row())
	}
	r.OK = !slices.ContainsFunc(r.Rows, func(row Row) bool { return row.State == Mend })
	p := f.progress(r, now)
	r.Found = append(r.Found, p.found()...)
	r.Steps = p.steps()
	r.Done = !slices.ContainsFunc(r.Steps, func(s Step) bool { return s.State != StepDone })
	r.Back = p.back()
	return r
}

// row is what a person reads of an interface that is left.
func (l Left) row() Row {
	name := fmt.Sprintf("pod %s/%s", l.Namespace, l.Pod)
	if l.Interface != "" {
		name += ", interface " + l.Interface
	}
	return row(Mend, "pods", name+": "+l.Why, fmt.Sprintf("kubectl -n %s get pod %s -o yaml", l.Namespace, l.Pod))
}

// unreadable are rows for what could not be looked at.
func (f *Facts) unreadable() (rows []Row) {
	for _, look := range []struct {
		what, resource string
		err            error
	}{
		{"Deployments", "deployments.apps", f.Incumbents.Err}, {"leases", "leases.coordination.k8s.io", f.Leases.Err},
		{"NicClusterPolicies", "nicclusterpolicies.mellanox.com", f.Policies.Err},
		{"networks", "network-attachment-definitions.k8s.cni.cncf.io", f.Networks.Err}, {"pods", "pods", f.Pods.Err},
		{"DaemonSets", "daemonsets.apps", f.DaemonSets.Err}, {"nodes", "nodes", f.Nodes.Err}, {"ibfabric's ledger", "ledgers.ibfabric.io", f.Ledger.Err},
	} {
		if look.err != nil && !facts.Absent(look.err) {
			rows = append(rows, row(Mend, "rights", fmt.Sprintf("%s cannot be read: %v", look.what, look.err),
				"# an administrator lets you:", fmt.Sprintf("kubectl auth can-i list %s -A", look.resource)))
		}
	}
	if f.Overview != nil && f.Overview.Err != nil {
		rows = append(rows, row(Info, "console", fmt.Sprintf("ibfabric cannot be asked, and what it does is not known: %v", f.Overview.Err), fault.MendOf(f.Overview.Err)...))
	}
	return rows
}

// ranges are those of the controller that leads, where one does.
func (f *Facts) ranges() (ranges []guid.Range) {
	if f.Overview == nil || f.Overview.Err != nil {
		return nil
	}
	for _, text := range f.Overview.Value.GUIDs {
		first, last, _ := strings.Cut(text, "..")
		if r, err := guid.ParseRange(first, last); err == nil {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

func defaultRange() []guid.Range {
	r, _ := guid.ParseRange(defaultStart, defaultEnd) // which is one
	return []guid.Range{r}
}
