package scenarios

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
)

// Stories of pods, namespaces and disks that do not behave.

// NetNSEndsUnderDel is a sandbox whose namespace goes while DEL is at work in it.
func NetNSEndsUnderDel(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	n.everywhere(n.delVerbs(k), func(at int, late bool, name string) {
		if late {
			return // before the next verb is the same
		}
		p := k.pod(n, fmt.Sprint("c", at), 0x0200000000000100)
		n.mustAdd(p)
		n.onVerb(at, func() hostfake.Fault {
			lab.EndNetNS(p.ns)
			return hostfake.Fault{}
		})
		err := n.del(p)
		n.faults.Plan(nil)
		if err != nil {
			n.mustDel(p)
		}
		n.homeAgain(name)
	})
}

// PathReusedUnderAdd is a sandbox that dies while its ADD waits, and whose path, that of a
// process, is another pod's when the ADD goes on. In the moment of a move nobody can tell.
func PathReusedUnderAdd(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	verbs := n.addVerbs(k)
	counted := slices.DeleteFunc(slices.Clone(verbs), n.leftOut)
	known := slices.Index(counted, "NetNSID") // -1 on a slow node, which begins with a change
	n.everywhere(verbs, func(at int, late bool, name string) {
		moves := slices.Contains([]string{"MoveRDMA", "MoveNetdev", "Configure"}, counted[at])
		// The next plugin of a chain knows of the namespace what its path says.
		begins := looks(counted[at]) && slices.Contains(counted[at:min(at+3, len(counted))], "RDMAMode")
		if late || moves || begins || at <= known {
			return
		}
		p := k.pod(n, fmt.Sprint("c", at), 0x0200000000000100)
		n.onVerb(at, func() hostfake.Fault {
			lab.EndNetNS(p.ns)
			lab.NewNetNS(p.id)
			return hostfake.Fault{}
		})
		_, _ = n.add(p) // that it fails is the next line's
		n.faults.Plan(nil)
		_, netdev := lab.Kernel().Netdev(context.Background(), p.ns, p.vf)
		_, rdma := lab.Kernel().RDMADevice(context.Background(), p.ns, p.vf)
		if !errors.Is(netdev, host.ErrNotFound) || !errors.Is(rdma, host.ErrNotFound) {
			t.Errorf("%s: another pod got the dead one's netdev (%v) or RDMA device (%v)", name, netdev, rdma)
		}
		n.mustDel(p)
		n.homeAgain(name)
		lab.EndNetNS(p.ns)
	})
}

// StateNotSaved is a disk that is full, or gone, once the pod has its devices.
func StateNotSaved(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	p := k.pod(n, "c1", 0x0200000000000100).with("ipam", nil)
	dir := n.env.Store.Dir()
	spoil := "SetNetdevUp" // the last change of each kind comes after it
	if len(p.chain) > 1 {
		spoil = "MoveRDMA"
	}
	n.faults.Plan(func(_ int, verb string) hostfake.Fault {
		if _, err := os.ReadDir(dir); verb == spoil && err == nil {
			if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		return hostfake.Fault{}
	})
	if _, err := n.add(p); err == nil {
		t.Error("ADD says that all is well")
	}
	n.faults.Plan(nil)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if len(p.chain) > 1 {
		if _, err := lab.Kernel().RDMADevice(context.Background(), host.Home, p.vf); err != nil {
			t.Errorf("the RDMA device is not back: %v", err)
		}
		n.mustDel(p) // a chain is the runtime's to undo; of the first plugin nothing is written any more
		return
	}
	n.untouched("after the failed ADD")
}

// RenamedInPod is a pod that gives its devices other names and takes its interface down.
func RenamedInPod(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	ctx, kernel := context.Background(), lab.Kernel()
	p := k.pod(n, "c1", 0x0200000000000100)
	before, err := kernel.RDMADevice(ctx, host.Home, p.vf)
	if err != nil {
		t.Fatal(err)
	}
	n.mustAdd(p)
	netdev, err := kernel.Netdev(ctx, p.ns, p.vf)
	if err := errors.Join(err, kernel.SetNetdevUp(ctx, p.ns, netdev.Index, false), kernel.RenameNetdev(ctx, p.ns, netdev.Index, "mine")); err != nil {
		t.Fatal(err)
	}
	if d, err := kernel.RDMADevice(ctx, p.ns, p.vf); err == nil { // where it is the pod's
		if err := kernel.RenameRDMA(ctx, p.ns, d.Index, "mine0"); err != nil {
			t.Fatal(err)
		}
	}
	n.mustDel(p)
	if now, err := kernel.RDMADevice(ctx, host.Home, p.vf); err != nil || now.Name != before.Name {
		t.Errorf("the RDMA device is %+v, %v, want the name %s", now, err, before.Name)
	}
	n.untouched("after DEL")
}

// HomeAlready is an operator who took a pod's devices back by hand.
func HomeAlready(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	ctx, kernel := context.Background(), lab.Kernel()
	p := k.pod(n, "c1", 0x0200000000000100)
	n.mustAdd(p)
	if netdev, err := kernel.Netdev(ctx, p.ns, p.vf); err != nil {
		t.Fatal(err)
	} else if err := kernel.MoveNetdev(ctx, p.ns, netdev.Index, host.Home, "ib99"); err != nil {
		t.Fatal(err)
	}
	if d, err := kernel.RDMADevice(ctx, p.ns, p.vf); err != nil {
		t.Fatal(err)
	} else if err := kernel.MoveRDMA(ctx, p.ns, d.Index, host.Home); err != nil {
		t.Fatal(err)
	}
	n.settled()
	n.mustDel(p)
	n.untouched("after DEL")
}

// WasUp is a node whose scripts had raised the VF's netdev.
func WasUp(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	ctx, kernel := context.Background(), lab.Kernel()
	p := k.pod(n, "c1", 0x0200000000000100)
	isUp := func(when string, want bool) {
		t.Helper()
		if netdev, err := kernel.Netdev(ctx, host.Home, p.vf); err != nil || netdev.Up != want {
			t.Errorf("%s: %+v, %v, want up %t", when, netdev, err, want)
		}
	}
	for _, up := range []bool{true, false} {
		netdev, err := kernel.Netdev(ctx, host.Home, p.vf)
		if err := errors.Join(err, kernel.SetNetdevUp(ctx, host.Home, netdev.Index, up)); err != nil {
			t.Fatal(err)
		}
		n.faults.Plan(func(_ int, verb string) hostfake.Fault {
			if verb == "ipam ADD" {
				return hostfake.Fault{Err: errInjected}
			}
			return hostfake.Fault{}
		})
		if _, err := n.add(p); !errors.Is(err, errInjected) {
			t.Fatalf("ADD: %v", err)
		}
		n.faults.Plan(nil)
		isUp("after the failed ADD", up)
		n.mustAdd(p)
		n.mustDel(p)
		isUp("after DEL", up)
	}
	n.untouched("in the end")
}
