package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
	"github.com/ibfabric/ibfabric/guid"
)

// AddAndDel is the whole of an ordinary life.
func AddAndDel(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100)
	result := n.mustAdd(p)
	n.inPod(p)
	i := result.Interfaces[0]
	if i.Name != "net1" || i.Sandbox != string(p.ns) || i.PciID != string(p.vf) || i.Mac == "" || i.Mtu == 0 {
		t.Errorf("the answer's interface is %+v", i)
	}
	if len(result.IPs) != 1 || *result.IPs[0].Interface != 0 {
		t.Errorf("the answer's addresses are %v", result.IPs)
	}
	records, _ := n.env.Store.Of(record.Key{ContainerID: "c1", IfName: "net1"})
	if len(records) != 1 || !records[0].Ready {
		t.Fatalf("records: %+v", records)
	}
	if diff := cmp.Diff([]record.PKey{{Entry: 0x9000, Index: 0}}, records[0].PKeys); diff != "" {
		t.Errorf("PKeys in the record (-want +got):\n%s", diff)
	}
	n.mustDel(p)
	n.untouched("after DEL")
}

// NoRebind is a VF whose GUID somebody set before.
func NoRebind(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	g := n.before[lab.VFs()[0]].Port
	p := n.pod("c1", 0, g)
	verbs := n.rehearse(func() { n.mustAdd(p) })
	n.inPod(p)
	verbs = append(verbs, n.rehearse(func() { n.mustDel(p) })...)
	for _, verb := range []string{"Unbind", "Bind", "SetVFGUID"} {
		if slices.Contains(verbs, verb) {
			t.Errorf("%s was called", verb)
		}
	}
	n.untouched("after DEL")
}

// NoIsolation is the configuration of nodes in shared mode, and of pods that share.
func NoIsolation(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100).with("rdmaIsolation", nil)
	n.mustAdd(p)
	if _, err := lab.Kernel().RDMADevice(context.Background(), host.Home, p.vf); err != nil {
		t.Errorf("the RDMA device left: %v", err)
	}
	if netdev, err := lab.Kernel().Netdev(context.Background(), p.ns, p.vf); err != nil || netdev.Name != "net1" {
		t.Errorf("netdev: %+v, %v", netdev, err)
	}
	n.mustDel(p)
	n.untouched("after DEL")
}

// Children is a pod with storage in a second partition.
func Children(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100).with("ipoibChildren", true).arg("ibfabric.io/pkeys", "0x1000:full:index0,0x20:limited")
	n.mustAdd(p)
	n.inPod(p)
	netdev, _ := lab.Kernel().Netdev(context.Background(), p.ns, p.vf) // the kernel sets the top bit
	if len(netdev.Children) != 1 || netdev.Children[0].Name != "net1.0020" || netdev.Children[0].Entry != 0x8020 {
		t.Errorf("children: %+v", netdev.Children)
	}
	n.mustDel(p)
	n.untouched("after DEL")

	// Nothing ends their parent when neither GUID nor RDMA device is touched.
	q := n.pod("c2", 0, n.before[p.vf].Port).with("rdmaIsolation", nil).with("ipoibChildren", true).arg("ibfabric.io/pkeys", "0x1000:full:index0,0x20:limited")
	n.mustAdd(q)
	n.mustDel(q)
	n.untouched("after the second DEL")
}

// InUse is the device plugin that gave one VF to two pods.
func InUse(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100)
	n.mustAdd(p)
	var inUse *txn.InUseError
	if _, err := n.add(n.pod("c2", 0, 0x0200000000000200)); !errors.As(err, &inUse) || !isCode(err, types.ErrTryAgainLater) {
		t.Errorf("the second got %v", err)
	}
	n.inPod(p)
	n.mustDel(p)
	n.untouched("after DEL")
}

// Race is the device plugin that gave one VF to many pods, all at once.
func Race(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	var pods []*pod
	for i := range 8 {
		pods = append(pods, n.pod(fmt.Sprint("c", i), 0, guid.GUID(0x0200000000000100+i)))
	}
	errs := make([]error, len(pods))
	var wg sync.WaitGroup
	for i, p := range pods {
		wg.Go(func() { _, errs[i] = n.add(p) })
	}
	wg.Wait()
	won := 0
	for i, p := range pods {
		if errs[i] == nil {
			won++
			n.inPod(p)
		} else if !isCode(errs[i], types.ErrTryAgainLater) {
			t.Errorf("%s: %v", p.id, errs[i])
		}
	}
	if won != 1 {
		t.Errorf("%d pods have the VF", won)
	}
	for _, p := range pods {
		n.mustDel(p)
	}
	n.untouched("after DEL")
}

// Parallel is a node that starts all its pods at once.
func Parallel(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	var pods []*pod
	for i := range lab.VFs() {
		pods = append(pods, n.pod(fmt.Sprint("c", i), i, guid.GUID(0x0200000000000100+i)))
	}
	each := func(f func(*pod) error) {
		var wg sync.WaitGroup
		for _, p := range pods {
			wg.Go(func() {
				if err := f(p); err != nil {
					t.Errorf("%s: %v", p.id, err)
				}
			})
		}
		wg.Wait()
	}
	// Rebinds hand out names anew: there must never be two VFs without a driver.
	unbound, most := 0, 0
	n.faults.Plan(func(_ int, verb string) hostfake.Fault {
		switch verb {
		case "Unbind":
			unbound++
			most = max(most, unbound)
		case "Bind":
			unbound--
		}
		return hostfake.Fault{}
	})
	each(func(p *pod) error { _, err := n.add(p); return err })
	n.faults.Plan(nil)
	if most != 1 {
		t.Errorf("%d VFs were rebound at the same time", most)
	}
	for _, p := range pods {
		n.inPod(p)
	}
	each(n.del)
	// Names at home are handed out by who comes first; all else is as it was.
	for pci, was := range n.before {
		now := n.state(pci)
		if was.Netdev, now.Netdev = "", ""; was != now {
			t.Errorf("%s (-before +now):\n%s", pci, cmp.Diff(was, now))
		}
	}
	if records, _ := n.env.Store.All(); len(records) > 0 || len(n.ipam.left()) > 0 {
		t.Errorf("left: %v, %v", records, n.ipam.left())
	}
}

func isCode(err error, code uint) bool {
	var e *types.Error
	return errors.As(plugin.ToCNI(err), &e) && e.Code == code
}
