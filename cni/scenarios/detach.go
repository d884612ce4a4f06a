package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/plugin"
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
	n.noAddressLeft()
}

// DelWithoutRecord is a node that lost /var/lib/cni.
func DelWithoutRecord(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	p := k.pod(n, "c1", 0x0200000000000100)
	n.mustAdd(p)
	n.forget()
	n.mustDel(p)
	n.safe(p)
}

// safe fails unless a VF of which nobody knows how it was is at home, and has nothing left
// of its pod.
func (n *node) safe(p *pod) {
	n.t.Helper()
	if p.guid != 0 {
		n.withoutGUID(p.vf)
	} else if now := n.settled()[p.vf].Config.Ethernet; now.VLAN != 0 || now.Trust || !now.SpoofCheck {
		n.t.Errorf("the VF is not safe at home: %+v", now)
	}
	n.noAddressLeft()
}

// DelWithTornRecord is a disk that did not keep its word; the configuration does not
// help either.
func DelWithTornRecord(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	p := k.pod(n, "c1", 0x0200000000000100)
	n.mustAdd(p)
	n.tear(p, `{"version":1,`)
	n.mustDel(p.with("deviceID", "nonsense").with("pkey", "nonsense"))
	n.safe(p)
	if left := n.recorded(); len(left) != 0 {
		t.Errorf("records left of %v", left)
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

// PathReused is a runtime that names namespaces by a process (/proc/<pid>/ns/net), whose
// number the next pod's process got.
func PathReused(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	dead := k.pod(n, "c1", 0x0200000000000100)
	n.mustAdd(dead)
	lab.EndNetNS(dead.ns)
	n.settled()
	heir := k.on(n, "c1", 1, 0x0200000000000300) // makes the namespace anew
	heir.id = "c2"
	n.mustAdd(heir)
	inPlace := func(when string) {
		n.inPod(heir)
		if err := lab.Kernel().Configured(context.Background(), heir.ns, heir.ifname, heir.result, true); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	next := k.pod(n, "c3", 0x0200000000000200)
	n.mustAdd(next) // the VF is free
	inPlace("after the ADD of the next pod")
	n.mustDel(next)
	n.mustDel(dead)
	inPlace("after the DEL of the dead pod")

	dead = k.pod(n, "c4", 0x0200000000000100)
	n.mustAdd(dead)
	lab.EndNetNS(dead.ns)
	lab.NewNetNS("c4")
	for i := range max(1, len(dead.chain)) {
		_, env := n.plugin(dead, i)
		if err := plugin.Collect(context.Background(), env); err != nil {
			t.Fatal(err)
		}
	}
	if now := n.state(dead.vf); now.Config != n.before[dead.vf].Config {
		t.Errorf("gc left the VF with %+v", now.Config)
	}
	inPlace("after gc")
	n.mustDel(heir)
	n.untouched("in the end")
}

// PathReusedOnTheVF is the same with the VF itself, which the chain of a dead pod had, and
// a network without a chain gave to the next one: no plugin saw both.
func PathReusedOnTheVF(t *testing.T, lab Lab) {
	n := roceNode(t, lab)
	dead := n.roce("c1", 0, 1).chained()
	n.mustAdd(dead)
	lab.EndNetNS(dead.ns)
	n.settled()
	heir := n.roce("c1", 0, 2) // makes the namespace anew
	heir.id = "c2"
	n.mustAdd(heir)
	n.mustDel(dead)
	n.inPod(heir)
	n.mustDel(heir)
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
