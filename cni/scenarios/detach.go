package scenarios

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/guid"
)

// RepeatedDel is the runtime that is not sure.
func RepeatedDel(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	p := k.pod(n, "c1", 0x0200000000000100)
	n.mustDel(p) // before there is anything
	n.mustAdd(p)
	for range 3 {
		n.mustDel(p)
		n.untouched("after DEL")
	}
	lab.EndNetNS(p.ns)
	p.ns = host.Home // CNI_NETNS is empty once the runtime knows of no namespace
	n.mustDel(p)
	n.untouched("after the last DEL")
}

// DelWithoutNetNS is a container whose sandbox died first.
func DelWithoutNetNS(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	for _, empty := range []bool{false, true} {
		p := k.pod(n, "c1", 0x0200000000000100)
		n.mustAdd(p)
		lab.EndNetNS(p.ns)
		if empty {
			p.ns = host.Home
		}
		n.mustDel(p)
		n.untouched("after DEL")
	}
}

// withoutGUID is where a VF ends whose former GUID nobody knows: without one.
func (n *node) withoutGUID(pci host.PCI) {
	n.t.Helper()
	s := n.settled()[pci]
	if s.Config.PortGUID != ^guid.GUID(0) || s.Port != ^guid.GUID(0) {
		n.t.Errorf("the VF is not safe at home: %+v", s)
	}
	if left := n.ipam.left(); len(left) > 0 {
		n.t.Errorf("addresses left: %v", left)
	}
}

// DelWithoutRecord is a node that lost /var/lib/cni.
func DelWithoutRecord(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	p := k.pod(n, "c1", 0x0200000000000100)
	n.mustAdd(p)
	if err := os.RemoveAll(n.env.Store.Dir()); err != nil {
		t.Fatal(err)
	}
	n.mustDel(p)
	if p.guid != 0 {
		n.withoutGUID(p.vf)
	} else if now := n.settled()[p.vf].Config.Ethernet; now.VLAN != 0 || now.Trust || !now.SpoofCheck {
		t.Errorf("the VF is not safe at home: %+v", now)
	}
	if left := n.ipam.left(); len(left) > 0 {
		t.Errorf("addresses left: %v", left)
	}
}

// DelWithTornRecord is a disk that did not keep its word; the configuration does not
// help either.
func DelWithTornRecord(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100)
	n.mustAdd(p)
	files, _ := os.ReadDir(n.env.Store.Dir())
	if err := os.WriteFile(filepath.Join(n.env.Store.Dir(), files[0].Name()), []byte(`{"version":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	n.mustDel(p.with("deviceID", "nonsense").with("pkey", "nonsense"))
	n.withoutGUID(p.vf)
	if files, _ := os.ReadDir(n.env.Store.Dir()); len(files) != 0 {
		t.Errorf("files left: %v", files)
	}
}

// DelAfterIncumbent is a node that changed over while the pod ran. ADD stands in for
// ib-sriov-cni: it leaves the devices as that would.
func DelAfterIncumbent(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100)
	n.mustAdd(p)
	if err := os.RemoveAll(n.env.Store.Dir()); err != nil {
		t.Fatal(err)
	}
	was := n.before[p.vf]
	cache := p.config
	cache["HostIFNames"], cache["HostIFGUID"], cache["VFID"], cache["Master"] = was.Netdev, was.Port.String(), 0, "ib0"
	text, _ := json.Marshal(cache)
	dir := n.env.Incumbents.IBSriov
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "c1-net1"), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	n.mustDel(p)
	n.untouched("after DEL")
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("cache files left: %v", left)
	}
}

// FailedIPAM is an IPAM daemon that is away when the pod goes.
func FailedIPAM(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	p := k.pod(n, "c1", 0x0200000000000100)
	n.mustAdd(p)
	n.faults.Plan(func(_ int, verb string) hostfake.Fault {
		if verb == "ipam DEL" {
			return hostfake.Fault{Err: errInjected}
		}
		return hostfake.Fault{}
	})
	if err := n.del(p); !errors.Is(err, errInjected) {
		t.Errorf("DEL says %v", err)
	}
	if now := n.state(p.vf); now != n.before[p.vf] {
		t.Errorf("the VF is %+v, want it home", now)
	}
	next := k.pod(n, "c2", 0x0200000000000200)
	n.mustAdd(next) // the VF is free, whatever IPAM says
	n.faults.Plan(nil)
	n.mustDel(p)
	n.inPod(next)
	n.mustDel(next)
	n.untouched("in the end")
}

// LateDel is a runtime that cleans up long after the VF has gone to another pod.
func LateDel(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	p := k.pod(n, "c1", 0x0200000000000100)
	n.mustAdd(p)
	lab.EndNetNS(p.ns)
	next := k.pod(n, "c2", 0x0200000000000200)
	n.mustAdd(next)
	n.mustDel(p)
	n.inPod(next)
	n.mustDel(next)
	n.untouched("in the end")
}

// TornAndTaken is a torn record, and a cache file of ib-sriov-cni, that name a VF which
// another pod has by now.
func TornAndTaken(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	next := n.pod("c2", 0, 0x0200000000000200)
	n.mustAdd(next)
	torn, cached := n.pod("c1", 0, 0x0200000000000100), n.pod("c3", 0, 0x0200000000000300)
	name := "c1@net1@" + string(next.vf) + ".json"
	text, _ := json.Marshal(cached.with("HostIFGUID", "02:00:00:00:00:00:00:09").config)
	dir := n.env.Incumbents.IBSriov
	err := errors.Join(os.WriteFile(filepath.Join(n.env.Store.Dir(), name), nil, 0o600),
		os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "c3-net1"), text, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	n.mustDel(torn)
	n.mustDel(cached)
	n.inPod(next)
	n.mustDel(next)
	n.untouched("in the end")
}

// AfterReboot is a power cut under a running pod, and a VF that was given away since.
func AfterReboot(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p, q := n.pod("c1", 0, 0x0200000000000100), n.pod("c2", 1, 0x0200000000000200)
	n.mustAdd(p)
	n.mustAdd(q)
	lab.Reboot()
	n.before = n.settled()
	next := n.pod("c3", 1, 0x0200000000000300)
	n.mustAdd(next)
	verbs := n.rehearse(func() {
		n.mustDel(p)
		n.mustDel(q)
	})
	for _, verb := range verbs {
		if !slices.Contains([]string{"BootID", "ipam DEL", "HasNetNS", "Netdev", "RDMADevice"}, verb) {
			t.Errorf("%s was called for a device of another boot", verb)
		}
	}
	n.inPod(next)
	n.mustDel(next)
	n.untouched("in the end")
}
