package scenarios

import (
	"context"
	"errors"
	"net"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/guid"
)

// rail is interface number i of a container with several.
func (n *node) rail(id string, i int) *pod {
	p := n.pod(id, i, guid.GUID(0x0200000000000100+i))
	p.ifname = []string{"net1", "net2", "net3", "net4", "net5", "net6", "net7", "net8"}[i]
	if i > 0 {
		p.ns = n.rails[id]
	}
	n.rails[id] = p.ns
	return p
}

// DefaultRoute is a pod with two rails, each of whose IPAM would give it a default route.
func DefaultRoute(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	first, second := n.rail("c1", 0), n.rail("c1", 1)
	hasDefault := func(when string, want bool) {
		t.Helper()
		if has, err := lab.Kernel().HasDefaultRoute(context.Background(), first.ns, false); err != nil || has != want {
			t.Errorf("%s: a default route: %t, %v, want %t", when, has, err, want)
		}
	}
	hasDefault("at first", false)
	n.mustAdd(first)
	n.mustAdd(second)
	hasDefault("after ADD", true)
	for _, p := range []*pod{first, second} {
		if err := lab.Kernel().Configured(context.Background(), p.ns, p.ifname, p.result, true); err != nil {
			t.Error(err)
		}
	}
	n.mustDel(first)
	hasDefault("when the first is gone", false) // the second's is in its own table only
	if err := lab.Kernel().Configured(context.Background(), second.ns, second.ifname, second.result, true); err != nil {
		t.Errorf("the other's DEL took it: %v", err)
	}
	n.mustDel(second)
	n.untouched("after DEL")
}

// NoSourceRoutes is a pod whose chain has sbr, or whose network wants none, and one that
// has no address.
func NoSourceRoutes(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	for _, p := range []*pod{n.pod("c1", 0, 0x0200000000000100).with("sourceRoutes", false), n.pod("c2", 1, 0x0200000000000200).with("ipam", nil)} {
		for _, verb := range n.rehearse(func() { n.mustAdd(p) }) {
			if verb == "RouteBySource" {
				t.Errorf("%s: %s was called", p.id, verb)
			}
		}
		if err := n.check(p); err != nil {
			t.Errorf("%s: CHECK says %v", p.id, err)
		}
		n.mustDel(p)
	}
	n.untouched("after DEL")
}

// PathReusedForRoutes is the same sandbox as PathReusedUnderAdd, dead while the addresses of
// its interface settle: the next pod's interface has its name too, and keeps its rules.
func PathReusedForRoutes(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	dead := k.pod(n, "c1", 0x0200000000000100)
	heir := k.on(n, "c1", 1, 0x0200000000000300)
	addressed := false
	n.faults.Plan(func(_ int, verb string) hostfake.Fault {
		if addressed { // before the verb that comes after it
			lab.EndNetNS(dead.ns)
			n.takesPath(heir)
		}
		addressed = verb == "Configure"
		return hostfake.Fault{}
	})
	if _, err := n.add(dead); err == nil {
		t.Error("ADD says that all is well")
	}
	n.faults.Plan(nil)
	if err := lab.Kernel().Configured(context.Background(), heir.ns, heir.ifname, heir.result, true); err != nil {
		t.Errorf("the next pod: %v", err)
	}
	n.mustDel(dead)
	lab.EndNetNS(heir.ns)
	n.homeAgain("in the end")
}

// takesPath makes the pod's namespace and gives it an interface, without a plugin.
func (n *node) takesPath(p *pod) {
	n.t.Helper()
	ctx, kernel := context.Background(), n.lab.Kernel()
	n.lab.NewNetNS(p.id)
	p.result = &types100.Result{
		CNIVersion: "1.0.0",
		Interfaces: []*types100.Interface{{Name: p.ifname, Sandbox: string(p.ns)}},
		IPs:        []*types100.IPConfig{{Address: net.IPNet{IP: net.IPv4(10, 1, 0, 1), Mask: net.CIDRMask(16, 32)}, Interface: new(int)}},
	}
	netdev, err := kernel.Netdev(ctx, host.Home, p.vf)
	if err != nil {
		n.t.Error(err)
		return
	}
	err = errors.Join(
		kernel.SetNetdevUp(ctx, host.Home, netdev.Index, false),
		kernel.MoveNetdev(ctx, host.Home, netdev.Index, p.ns, p.ifname),
		kernel.Configure(ctx, p.ns, p.ifname, p.result),
		kernel.RouteBySource(ctx, p.ns, p.ifname, p.result),
	)
	if err != nil {
		n.t.Error(err)
	}
}
