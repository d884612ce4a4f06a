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
	// RoCE are free VFs of Ethernet cards, with RDMA devices; a lab can be without them.
	RoCE() []host.PCI
	NewNetNS(name string) host.NetNS
	EndNetNS(ns host.NetNS)
	// Program is the subnet manager's part: a port that has this GUID gets this PKey
	// table and becomes ACTIVE, after whatever time the lab's takes.
	Program(g guid.GUID, entries ...uint16)
	// Reboot makes every namespace end and every device new, under another boot ID.
	Reboot()
}

// Slow is a Lab on which every verb takes its time.
type Slow interface{ Slow() }

// Scenario is a story and what it says in one sentence.
type Scenario struct {
	Name string
	Run  func(*testing.T, Lab)
}

// All are the stories that hold on every kernel.
func All() []Scenario {
	list := []Scenario{
		{"ADD gives a pod its VF and DEL takes it back", AddAndDel},
		{"ADD does not rebind a VF that has its GUID", NoRebind},
		{"without isolation the RDMA device stays at home", NoIsolation},
		{"IPoIB netdevs are made for further PKeys", Children},
		{"DEL understands what ib-sriov-cni left", DelAfterIncumbent},
		{"a VF in use is not given away", InUse},
		{"of many ADDs for one VF one wins", Race},
		{"what is torn does not take the VF of another pod", TornAndTaken},
		{"after a reboot fresh VFs are left alone", AfterReboot},
		{"many ADDs at once do not disturb each other", Parallel},
		{"an RDMA device has its own name again", RDMANames},
		{"bad input changes nothing", BadInput},
		{"a RoCE VF is set up as its network says, and put back", RoCESettings},
		{"a RoCE VF shares its RDMA device unless told otherwise", RoCEShared},
		{"many ADDs of RoCE VFs at once do not disturb each other", RoCEParallel},
		{"DEL understands what sriov-cni left", RoCEAfterIncumbent},
		{"DEL understands what rdma-cni left", RDMAAfterIncumbent},
		{"a late DEL of an ib-sriov-cni pod does not touch the VF of the next", LateIncumbentDel},
		{"a late DEL of a sriov-cni pod does not touch the VF of the next", LateRoCEIncumbentDel},
		{"gc brings home what incumbents' dead pods had", GCIncumbents},
		{"after a reboot incumbents' files touch no VF", IncumbentAfterReboot},
		{"a cache file that names no device is no path", CacheFileOfNothing},
		{"a chain of a dead pod takes nothing from the next pod at its path", PathReusedOnTheVF},
		{"bad input of RoCE networks changes nothing", BadRoCEInput},
		{"CHECK says what has drifted", CheckDrift},
		{"GC of one network leaves the others", GCIsolation},
		{"GC leaves alone whose namespace exists", GCNamespace},
		{"GC goes on after an error and reports it", GCErrors},
		{"gc of the node needs no list", NodeGC},
		{"gc does not touch what is not back home", NodeGCAway},
		{"a pod's default route stays with its first network", DefaultRoute},
		{"rules by source can be switched off", NoSourceRoutes},
		{"eight rails of a slow fabric come up by retries", EightRails},
		{"what is kept for a retry is no other pod's", KeptIsOwned},
		{"what is kept for a retry ends", KeptEnds},
	}
	list = append(list, defects()...)
	for _, k := range kinds() {
		for _, s := range lives() {
			list = append(list, Scenario{s.Name + ": " + k.name, func(t *testing.T, lab Lab) { s.run(t, lab, k) }})
		}
	}
	return list
}

// kind is a network that the stories of ordinary lives go through.
type kind struct {
	name string
	on   func(n *node, id string, i int, g guid.GUID) *pod // VF number i
}

func (k kind) pod(n *node, id string, g guid.GUID) *pod { return k.on(n, id, 0, g) }

func kinds() []kind {
	return []kind{
		{"ib-sriov", func(n *node, id string, i int, g guid.GUID) *pod { return n.pod(id, i, g) }},
		{"sriov", func(n *node, id string, i int, g guid.GUID) *pod { return n.roce(id, i, byte(g>>8)) }},
		{"sriov and rdma, chained", func(n *node, id string, i int, g guid.GUID) *pod { return n.roce(id, i, byte(g>>8)).chained() }},
	}
}

// life is a story that every kind of network must live through.
type life struct {
	Name string
	run  func(*testing.T, Lab, kind)
}

func lives() []life {
	return []life{
		{"an ADD killed anywhere is put right by DEL", KilledAddThenDel},
		{"an ADD killed anywhere is put right by the next ADD", KilledAddThenAdd},
		{"an ADD that fails anywhere leaves nothing behind", FailedAdd},
		{"a DEL killed anywhere is put right by the next DEL", KilledDel},
		{"a DEL that fails anywhere is put right by the next DEL", FailedDel},
		{"DEL can be repeated", RepeatedDel},
		{"DEL does with a namespace that ends under it", NetNSEndsUnderDel},
		{"DEL finds what a pod has renamed", RenamedInPod},
		{"DEL leaves what is home already", HomeAlready},
		{"DEL does with a torn record", DelWithTornRecord},
		{"a netdev that was up is up again", WasUp},
		{"an ADD whose record cannot be completed is undone", StateNotSaved},
		{"DEL does without the namespace", DelWithoutNetNS},
		{"DEL does without the record", DelWithoutRecord},
		{"an IPAM failure leaves no VF behind", FailedIPAM},
		{"a late DEL does not touch the VF of the next pod", LateDel},
		{"another namespace at the path of a dead one is not taken for it", PathReused},
		{"an ADD does not go on in another namespace at its path", PathReusedUnderAdd},
		{"an ADD sets no rules in another namespace at its path", PathReusedForRoutes},
	}
}
