package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/guid"
)

// gc is what a runtime calls for a network, with the pods that it says are valid.
func (n *node) gc(network string, valid ...*pod) error {
	list := []types.GCAttachment{}
	for _, p := range valid {
		list = append(list, types.GCAttachment{ContainerID: p.id, IfName: p.ifname})
	}
	config, err := json.Marshal(map[string]any{
		"cniVersion": "1.1.0", "name": network, "type": "ib-sriov", "ipam": map[string]any{"type": "fake"}, "cni.dev/valid-attachments": list,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	found, _ := cni.Named("ib-sriov")
	return found.GC(context.Background(), n.env, plugin.Request{Config: config})
}

// dead is a pod whose namespace went without a DEL.
func (n *node) dead(p *pod) *pod {
	n.t.Helper()
	n.mustAdd(p)
	n.lab.EndNetNS(p.ns)
	return p
}

func (n *node) recorded() (ids []string) {
	n.t.Helper()
	all, err := n.env.Store.All()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, r := range all {
		ids = append(ids, r.ContainerID)
	}
	slices.Sort(ids)
	return ids
}

// GCIsolation is the runtime that knows of one network only.
func GCIsolation(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	n.dead(n.pod("c1", 0, 0x0200000000000100))
	valid := n.dead(n.pod("c2", 1, 0x0200000000000200))
	other := n.dead(n.pod("c3", 2, 0x0200000000000300).with("name", "gpu2"))
	n.ipam.lose(other) // its addresses are another IPAM plugin's
	if err := n.gc("gpu1", valid); err != nil {
		t.Fatal(err)
	}
	if got := n.recorded(); !slices.Equal(got, []string{"c2", "c3"}) {
		t.Errorf("records of %v, want the valid one's and the other network's", got)
	}
	if left := n.ipam.left(); len(left) != 1 || left[0].ContainerID != "c2" {
		t.Errorf("addresses of %v", left)
	}
	n.mustDel(valid)
	n.mustDel(other)
	n.untouched("in the end")
}

// GCNamespace is Multus, which names no attachment of the networks that it adds.
func GCNamespace(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100)
	n.mustAdd(p)
	if err := n.gc("gpu1"); err != nil {
		t.Fatal(err)
	}
	n.inPod(p)
	if left := n.ipam.left(); len(left) != 1 {
		t.Error("its address is free, and somebody else's soon")
	}
	if err := plugin.Collect(context.Background(), n.env); err != nil {
		t.Fatal(err)
	}
	n.inPod(p)
	n.mustDel(p)
	n.untouched("after DEL")
}

// GCErrors is an IPAM daemon that does not answer for one of three.
func GCErrors(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	for i, id := range []string{"c1", "c2", "c3"} {
		n.dead(n.pod(id, i, 0x0200000000000100+guid.GUID(i)))
	}
	struck := false
	n.faults.Plan(func(_ int, verb string) hostfake.Fault {
		if verb == "ipam DEL" && !struck {
			struck = true
			return hostfake.Fault{Err: errInjected}
		}
		return hostfake.Fault{}
	})
	if err := n.gc("gpu1"); !errors.Is(err, errInjected) {
		t.Errorf("GC says %v", err)
	}
	if got := n.recorded(); len(got) != 1 {
		t.Errorf("records of %v, want the failed one's", got)
	}
	n.faults.Plan(nil)
	if err := n.gc("gpu1"); err != nil {
		t.Fatal(err)
	}
	n.untouched("after the second GC")
}

// NodeGC is the node agent's: all networks, torn records, other boots.
func NodeGC(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	n.dead(n.pod("c1", 0, n.before[lab.VFs()[0]].Port))
	n.dead(n.pod("c2", 1, 0x0200000000000200).with("name", "gpu2"))
	torn := n.dead(n.pod("c3", 2, n.before[lab.VFs()[2]].Port).with("ipam", nil).with("link_state", nil))
	n.tear(torn, "")
	alive := n.pod("c4", 3, 0x0200000000000400)
	n.mustAdd(alive)
	for range 2 {
		err := plugin.Collect(context.Background(), n.env)
		if _, slow := lab.(Slow); slow { // what a namespace's end brings back can take longer than gc waits; it comes again
			for tries := 0; err != nil && tries < 5; tries++ {
				err = plugin.Collect(context.Background(), n.env)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	n.inPod(alive)
	if got := n.recorded(); !slices.Equal(got, []string{"c4"}) {
		t.Errorf("records of %v", got)
	}
	n.mustDel(alive)
	n.settled()
	for _, p := range []int{0, 1, 3} {
		if now, was := n.state(lab.VFs()[p]), n.before[lab.VFs()[p]]; now.Config != was.Config || now.Port != was.Port {
			t.Errorf("VF %d is %+v, want %+v", p, now, was)
		}
	}

	p := n.pod("c5", 4, 0x0200000000000500)
	n.mustAdd(p)
	lab.Reboot()
	n.before = n.settled()
	if err := plugin.Collect(context.Background(), n.env); err != nil {
		t.Fatal(err)
	}
	n.untouched("after the reboot")
}

// NodeGCAway is a gc that does not see the runtime's namespaces, or a namespace that a
// process keeps without a path: the VF is in use, whatever the path says.
func NodeGCAway(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100)
	n.mustAdd(p)
	blind := *n.env
	blind.Kernel = blindKernel{n.env.Kernel}
	if err := plugin.Collect(context.Background(), &blind); err == nil {
		t.Error("gc says that all is well")
	}
	n.inPod(p)
	n.mustDel(p)
	n.untouched("after DEL")
}
