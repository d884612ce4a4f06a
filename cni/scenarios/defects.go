package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni"
	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/plugin"
)

// defects are the eight worst of ib-sriov-cni, sriov-cni and rdma-cni, each as it was seen.
func defects() []Scenario {
	return []Scenario{
		{"defect 1, a GUID leaks for ever: no pod's GUID outlives it, nor is it taken for the VF's own", GUIDLeak},
		{"defect 2, look-ups by name race with udev: a netdev may be renamed at any moment", RenamedAnywhere},
		{"defect 3, DEL works once: what failed half-way is finished by the next", DelTwice},
		{"defect 4, DEL without a namespace leaks: it needs none", func(t *testing.T, lab Lab) {
			for _, k := range kinds() {
				if !k.roce() || len(lab.RoCE()) > 0 {
					DelWithoutNetNS(t, lab, k)
				}
			}
		}},
		{"defect 5, nobody looks at the PKey: no pod starts without it", PKeyMissing},
		{"defect 6, one lock without end: a device that is stuck holds up no other", StuckDevice},
		{"defect 7, CHECK, STATUS and GC say that all is well: they say what is not", HonestAnswers},
		{"defect 8, the netdev of a moved RDMA device turns up elsewhere: the pod has it on any kernel", NetdevAnywhere},
	}
}

// GUIDLeak is an ADD that fails after the GUID is on the VF, and a DEL that finds nothing
// written: neither may leave the GUID for the next ADD to save as the VF's own.
func GUIDLeak(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100)
	n.faults.Plan(func(_ int, verb string) hostfake.Fault {
		if verb == "ipam ADD" { // by then all is done
			return hostfake.Fault{Err: errInjected}
		}
		return hostfake.Fault{}
	})
	if _, err := n.add(p); !errors.Is(err, errInjected) {
		t.Fatalf("ADD: %v", err)
	}
	n.faults.Plan(nil)
	n.untouched("after the failed ADD")

	n.mustAdd(p)
	n.forget()
	n.mustDel(p)
	n.withoutGUID(p.vf)
	next := n.pod("c2", 0, 0x0200000000000200)
	n.mustAdd(next)
	n.mustDel(next)
	n.withoutGUID(p.vf)
}

// RenamedAnywhere is udev, which gives netdevs their names whenever it comes to it.
func RenamedAnywhere(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	ctx, k := context.Background(), lab.Kernel()
	p := n.pod("rehearsal", 0, 0x0200000000000100)
	verbs := len(n.rehearse(func() { n.mustAdd(p) }))
	n.faults.Plan(nil)
	n.mustDel(p)
	for at := range verbs + 1 { // the last time at every verb
		p := n.pod(fmt.Sprint("c", at), 0, 0x0200000000000100)
		n.faults.Plan(func(i int, _ string) hostfake.Fault {
			if i != at && at < verbs {
				return hostfake.Fault{}
			}
			if netdev, err := k.Netdev(ctx, host.Home, p.vf); err == nil {
				_ = k.RenameNetdev(ctx, host.Home, netdev.Index, fmt.Sprintf("udev%d", i)) // not every kernel does while it is up
			}
			return hostfake.Fault{}
		})
		n.mustAdd(p)
		n.inPod(p)
		n.mustDel(p)
		n.faults.Plan(nil)
		n.homeAgain(fmt.Sprintf("renamed at verb %d", at))
		lab.EndNetNS(p.ns)
	}
}

// DelTwice is a DEL that brought the netdev home and failed then, and one of a VF that has
// no netdev, for a network that isolates.
func DelTwice(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100)
	n.mustAdd(p)
	n.faults.Plan(func(_ int, verb string) hostfake.Fault {
		if verb == "SetVFGUID" || verb == "MoveRDMA" {
			return hostfake.Fault{Err: errInjected}
		}
		return hostfake.Fault{}
	})
	if err := n.del(p); !errors.Is(err, errInjected) {
		t.Fatalf("DEL: %v", err)
	}
	n.faults.Plan(nil)
	n.mustDel(p)
	n.untouched("after the second DEL")

	ctx, k, vf := context.Background(), lab.Kernel(), lab.VFs()[0]
	driver := n.before[vf].Driver
	defer func() { _ = errors.Join(k.Unbind(ctx, vf), k.Bind(ctx, vf, driver)) }()
	if err := errors.Join(k.Unbind(ctx, vf), k.Bind(ctx, vf, host.VFIO)); err != nil {
		t.Logf("the part about vfio is left out, as this node cannot bind to it: %v", err)
		return
	}
	vm := n.pod("vm", 0, 0x0200000000000200)
	n.mustAdd(vm)
	n.mustDel(vm)
	n.mustDel(vm)
	if now, was := n.state(vf).Config, n.before[vf].Config; now != was {
		t.Errorf("after DEL the PF holds %+v, want %+v", now, was)
	}
}

// PKeyMissing is a port that is ACTIVE without its partition.
func PKeyMissing(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100).with("fabricTimeout", "1s")
	lab.Program(p.guid, 0x7fff)
	time.Sleep(10 * time.Second) // the lab's subnet manager
	if _, err := n.add(p); !isCode(err, types.ErrTryAgainLater) || !strings.Contains(err.Error(), "pkey 0x1000") {
		t.Errorf("ADD without the PKey: %v", err)
	}
	n.untouched("after the failed ADD")
	lab.Program(p.guid, 0x9000, 0x7fff)
	n.mustAdd(p.with("fabricTimeout", nil))
	n.inPod(p)
	n.mustDel(p)
	n.untouched("after DEL")
}

// StuckDevice is a call that hangs with its device's lock in hand.
func StuckDevice(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	n.env.Locks.Wait = 2 * time.Second
	stuck, other := n.pod("c1", 0, 0x0200000000000100), n.pod("c2", 1, 0x0200000000000200)
	release, err := n.env.Locks.Device(context.Background(), string(stuck.vf))
	if err != nil {
		t.Fatal(err)
	}
	n.mustAdd(other)
	n.mustDel(other)
	if _, err := n.add(stuck); !isCode(err, types.ErrTryAgainLater) || !strings.Contains(err.Error(), string(stuck.vf)) {
		t.Errorf("ADD on the device that is stuck: %v", err)
	}
	release()
	n.mustAdd(stuck)
	n.mustDel(stuck)
	n.untouched("in the end")
}

// HonestAnswers asks a node on which something is wrong each of the three questions.
func HonestAnswers(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100)
	n.mustAdd(p)
	n.setGUID(p.vf, 0x0200000000000900)
	if err := n.check(p); err == nil || !strings.Contains(err.Error(), "PF holds") {
		t.Errorf("CHECK of a VF with another GUID: %v", err)
	}
	n.setGUID(p.vf, p.guid)
	lab.EndNetNS(p.ns)
	n.settled()
	if err := n.gc("gpu1"); err != nil {
		t.Errorf("GC: %v", err)
	}
	n.homeAgain("after GC")
	n.faults.Plan(func(_ int, verb string) hostfake.Fault {
		if verb == "RDMAMode" {
			return hostfake.Fault{Err: errInjected} // as without ib_core
		}
		return hostfake.Fault{}
	})
	found, _ := cni.Named("ib-sriov")
	if err := found.Status(context.Background(), n.env, plugin.Request{Config: []byte(`{"name":"gpu1"}`)}); !isCode(err, types.ErrPluginNotAvailable) {
		t.Errorf("STATUS of a node without RDMA: %v", err)
	}
}

// NetdevAnywhere moves a VF's RDMA device into a pod, out of it, and lets a namespace end
// under it: the netdev is made anew each time, where this kernel makes it.
func NetdevAnywhere(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, n.before[lab.VFs()[0]].Port)
	n.mustAdd(p)
	n.inPod(p)
	n.mustDel(p)
	n.homeAgain("after DEL")
	n.mustAdd(p)
	n.inPod(p)
	lab.EndNetNS(p.ns)
	n.mustDel(p)
	n.homeAgain("after the DEL of a pod whose namespace is gone")
}
