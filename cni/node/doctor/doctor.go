// Package doctor says what a node lacks to serve pods with RDMA interfaces, and which
// command mends it. It judges facts that package node read; it changes nothing.
package doctor

import (
	"fmt"
	"time"

	"github.com/ibfabric/ibfabric/cni/node"
	"github.com/ibfabric/ibfabric/cni/node/install"
)

// State is a verdict.
type State string

const (
	OK   State = "ok"
	Mend State = "mend" // pods will fail, or will after the next boot
	Info State = "info" // nobody here can say, or it costs speed only
)

// Row is one finding. A check that finds nothing wrong has one row; else it has one for
// each thing to mend.
type Row struct {
	State State  `json:"state"`
	Check string `json:"check"`
	Seen  string `json:"seen"`
	// Mend is what to type as root on the node, line by line. Lines that begin with #
	// are for the person who types.
	Mend []string `json:"mend,omitempty"`
}

// Report is a node's.
type Report struct {
	Node   string `json:"node"`
	Kernel string `json:"kernel"`
	OK     bool   `json:"ok"` // nothing is to be mended
	Rows   []Row  `json:"rows"`
	// NotHere names the checks that this node gives no occasion for.
	NotHere []string `json:"notApplicable,omitempty"`
}

// Node is what the doctor looks at.
type Node struct {
	node.Facts
	CNIDir  string                      // as /opt/cni/bin
	Plugins []node.Fact[install.Binary] // under the names that are to be ours
	Version string                      // of the program that asks
	// Collected is how long ago `ibfabric-cni gc` ran, negative for never.
	Collected node.Fact[time.Duration]
}

// Check is one thing that a node needs. The page docs/node.md lists them in this order.
type Check struct {
	Name  string
	Needs string // a sentence for people
	// Guide is the step of "Host Preparation" in Spiderpool's guide for AI clusters with
	// SR-IOV that it looks at, "" for what the guide leaves out.
	Guide string
	look  func(Node, Want) []Row
}

// Checks is all of them, causes before what they cause.
func Checks() []Check {
	return []Check{
		{"cards", "RDMA cards that have their driver", "1, 2", cards},
		{"driver", "Linux 5.3 or later, with its own drivers or NVIDIA's OFED", "1", driver},
		{"modules", "the kernel modules of the RDMA subsystem and of the cards", "1", modules},
		{"link-layer", "ports of the kind that the networks are for", "2", linkLayer},
		{"ports", "ports whose link is up", "2", ports},
		{"subnet-manager", "a subnet manager that gave every InfiniBand port its LID", "requirements", subnetManager},
		{"nvidia_peermem", "GPU memory that cards reach without a copy", "3a", peermem},
		{"gdrdrv", "GPU memory that the CPU reaches without a copy (gdrcopy)", "3b", gdrcopy},
		{"rdma-mode", "RDMA devices that belong to one network namespace each", "4", rdmaMode},
		{"rdma-mode-boot", "the same after a reboot", "4", bootMode},
		{"vfs", "VFs on the cards", "VF devices", vfs},
		{"vf-drivers", "a driver for each VF", "VF devices", vfDrivers},
		{"vf-guids", "a GUID of its own for each InfiniBand VF", "", vfGUIDs},
		{"pkeys", "room in the ports' PKey tables", "note on 128 PKeys", pkeys},
		{"cni-names", "ibfabric's plugins under their names in the CNI bin directory", "", cniNames},
		{"gc", "VFs and addresses put back that no pod owns any more, every minute", "", gc},
		{"iommu", "an IOMMU that is off or passes through, for speed", "", iommu},
		{"acs", "PCI bridges that let GPU and card talk directly, for speed", "", acs},
	}
}

// Examine makes all checks.
func Examine(n Node, want Want) Report {
	r := Report{Node: n.Hostname, Kernel: n.Release.Value, OK: true, Rows: []Row{}}
	for _, c := range Checks() {
		rows := c.look(n, want)
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

// unreadable is a mend, not an excuse: what nobody could see is not in order.
func unreadable(what string, err error) Row {
	return row(Mend, fmt.Sprintf("%s cannot be read: %v", what, err),
		"# run the doctor as root on the node, or privileged in its network namespace")
}

// allOr is one ok row unless something was found.
func allOr(found []Row, seen string) []Row {
	if len(found) > 0 {
		return found
	}
	return one(OK, seen)
}
