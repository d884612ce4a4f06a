package scenarios

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/cni/host"
)

// RDMANames are devices that end in another order than they began. A rebind takes the first
// name that is free, which on a young kernel is that of a device in a pod.
func RDMANames(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	before := n.rdmaNames(3)
	pods := []*pod{n.rail("c1", 0), n.rail("c1", 1), n.pod("c2", 2, 0x0200000000000200)}
	for _, p := range pods {
		n.mustAdd(p)
	}
	for i := range pods {
		n.inPod(pods[i])
	}
	for i := range pods {
		n.mustDel(pods[len(pods)-1-i])
	}
	if diff := cmp.Diff(before, n.rdmaNames(3)); diff != "" {
		t.Errorf("names after DEL (-before +now):\n%s", diff)
	}
	n.homeAgain("after DEL")

	// A namespace that ends brings home the device whose name another, which stayed at home,
	// may have by now.
	away := n.pod("c3", 0, n.before[lab.VFs()[0]].Port) // its own GUID: nothing rebinds it
	home := n.pod("c4", 1, 0x0200000000000400).with("rdmaIsolation", nil)
	n.mustAdd(away)
	n.mustAdd(home)
	lab.EndNetNS(away.ns)
	n.mustDel(home)
	n.mustDel(away)
	if diff := cmp.Diff(before, n.rdmaNames(3)); diff != "" {
		t.Errorf("names after the namespace's end (-before +now):\n%s", diff)
	}
	n.homeAgain("after the namespace's end")
}

// rdmaNames are the names of the first VFs' RDMA devices at home.
func (n *node) rdmaNames(count int) (names []string) {
	n.t.Helper()
	for _, pci := range n.lab.VFs()[:count] {
		d, err := n.lab.Kernel().RDMADevice(context.Background(), host.Home, pci)
		if err != nil {
			n.t.Fatal(err)
		}
		names = append(names, d.Name)
	}
	return names
}
