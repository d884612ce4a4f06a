// Package doctor says what a cluster lacks to give pods their place on an InfiniBand
// fabric, and which command mends it. Look reads the cluster, and Examine judges what was
// read; neither changes anything. What a node lacks, `ibfabric-cni doctor` says there.
package doctor

import (
	"fmt"
	"time"

	"github.com/ibfabric/ibfabric/cni/node/doctor"
)

// Row and its states are those of the doctor of nodes.
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

// Report is a cluster's.
type Report struct {
	Fabric string `json:"fabric,omitempty"`
	OK     bool   `json:"ok"` // nothing is to be mended
	Rows   []Row  `json:"rows"`
	// NotHere names the checks that this cluster gives no occasion for.
	NotHere []string `json:"notApplicable,omitempty"`
}

// Table is the report for people, at most 100 columns wide.
func (r Report) Table(color bool) string {
	about := "cluster"
	if r.Fabric != "" {
		about = "fabric " + r.Fabric
	}
	return doctor.Table(about, r.Rows, r.NotHere, color)
}

// Check is one thing that a cluster needs. docs/cli.md lists them in this order.
type Check struct {
	Name  string
	Needs string // a sentence for people
	look  func(Facts, time.Time) []Row
}

// Checks is all of them, causes before what they cause.
func Checks() []Check {
	return []Check{
		{"crds", "the kinds of ibfabric and of Multus", crds},
		{"multus", "Multus, ready on every node", multus},
		{"sriov-operator", "nodes that sriov-network-operator has finished, if it is there", operator},
		{"device-plugin", "the SR-IOV device plugin, ready on every node that it is for", devicePlugin},
		{"networks", "networks that the controller can read", networks},
		{"preflight", "cards that no two policies take, and IP pools that are there", others},
		{"resources", "VFs on some node for the resource that each network names", resources},
		{"ib-kubernetes", "no ib-kubernetes that works beside ibfabric", incumbent},
		{"controller", "a controller that leads, and has read ledger, pods and UFM", leader},
		{"admission", "webhooks and policies that keep tenants from writing what the controller writes", admission},
		{"ufm", "UFM that answers the controller", answers},
		{"ufm-certificate", "a certificate of UFM that names its host, and is good for a while", certificates},
		{"subnet-manager", "keys of the subnet manager that no tenant knows, and limited members by default", posture},
		{"fabric", "a fabric that is as the cluster wants it", fabric},
	}
}

// Examine makes all checks.
func Examine(f Facts, now time.Time) Report {
	r := Report{Fabric: f.Fabric, OK: true, Rows: []Row{}}
	for _, c := range Checks() {
		rows := c.look(f, now)
		if len(rows) == 0 {
			r.NotHere = append(r.NotHere, c.Name)
		}
		for _, row := range rows {
			row.Check = c.Name
			r.OK = r.OK && row.State != Mend
			r.Rows = append(r.Rows, row)
		}
	}
	return r
}

func row(s State, seen string, mend ...string) Row { return Row{State: s, Seen: seen, Mend: mend} }

func one(s State, seen string, mend ...string) []Row { return []Row{row(s, seen, mend...)} }

// allOr is one ok row unless something was found.
func allOr(found []Row, seen string) []Row {
	if len(found) > 0 {
		return found
	}
	return one(OK, seen)
}

// unreadable is a mend, not an excuse: what nobody could see is not in order.
func unreadable(what, resource string, err error) []Row {
	return one(Mend, fmt.Sprintf("%s cannot be read: %v", what, err),
		"# an administrator lets you:", fmt.Sprintf("kubectl auth can-i list %s -A", resource))
}
