// Package scenarios holds the stories that the CNI plugins must live through on any node.
// They touch the node through host.Kernel and a Lab alone, so the same ones run over the
// fake kernel here and over a real one elsewhere.
package scenarios

import (
	"testing"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// Lab is a node to play on, its RDMA subsystem in exclusive mode.
type Lab interface {
	Kernel() host.Kernel
	// VFs are free VFs of InfiniBand cards, with GUIDs, bound to their driver.
	VFs() []host.PCI
	NewNetNS(name string) host.NetNS
	EndNetNS(ns host.NetNS)
	// Program is the subnet manager's part: a port that has this GUID gets this PKey
	// table and becomes ACTIVE, after whatever time the lab's takes.
	Program(g guid.GUID, entries ...uint16)
	// Reboot makes every namespace end and every device new, under another boot ID.
	Reboot()
}

// Scenario is a story and what it says in one sentence.
type Scenario struct {
	Name string
	Run  func(*testing.T, Lab)
}

// All are the stories that hold on every kernel.
func All() []Scenario {
	return []Scenario{
		{"ADD gives a pod its VF and DEL takes it back", AddAndDel},
		{"ADD does not rebind a VF that has its GUID", NoRebind},
		{"without isolation the RDMA device stays at home", NoIsolation},
		{"IPoIB netdevs are made for further PKeys", Children},
		{"an ADD killed anywhere is put right by DEL", KilledAddThenDel},
		{"an ADD killed anywhere is put right by the next ADD", KilledAddThenAdd},
		{"an ADD that fails anywhere leaves nothing behind", FailedAdd},
		{"a DEL killed anywhere is put right by the next DEL", KilledDel},
		{"a DEL that fails anywhere is put right by the next DEL", FailedDel},
		{"DEL can be repeated", RepeatedDel},
		{"DEL does without the namespace", DelWithoutNetNS},
		{"DEL does without the record", DelWithoutRecord},
		{"DEL does with a torn record", DelWithTornRecord},
		{"DEL understands what ib-sriov-cni left", DelAfterIncumbent},
		{"an IPAM failure leaves no VF behind", FailedIPAM},
		{"a late DEL does not touch the VF of the next pod", LateDel},
		{"a VF in use is not given away", InUse},
		{"of many ADDs for one VF one wins", Race},
		{"what is torn does not take the VF of another pod", TornAndTaken},
		{"after a reboot fresh VFs are left alone", AfterReboot},
		{"many ADDs at once do not disturb each other", Parallel},
		{"bad input changes nothing", BadInput},
	}
}
