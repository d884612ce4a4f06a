package scenarios

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// CheckDrift goes through what can become of a pod's interface behind its back.
func CheckDrift(t *testing.T, lab Lab) {
	ctx, k := context.Background(), lab.Kernel()
	home := func(p *pod) {
		d, err := k.RDMADevice(ctx, p.ns, p.vf)
		if err == nil {
			err = k.MoveRDMA(ctx, p.ns, d.Index, host.Home)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	netdev := func(p *pod) int {
		n, err := k.Netdev(ctx, p.ns, p.vf)
		if err != nil {
			t.Fatal(err)
		}
		return n.Index
	}
	for name, c := range map[string]struct {
		drift func(*node, *pod)
		says  string // "" for an interface that is right
	}{
		"nothing":           {func(*node, *pod) {}, ""},
		"GUID at the PF":    {func(n *node, p *pod) { n.setGUID(p.vf, 0x0200000000000900) }, "PF holds"},
		"interface down":    {func(_ *node, p *pod) { _ = k.SetNetdevUp(ctx, p.ns, netdev(p), false) }, "is down"},
		"another name":      {func(_ *node, p *pod) { _ = k.RenameNetdev(ctx, p.ns, netdev(p), "ib9") }, "want net1"},
		"netdev at home":    {func(_ *node, p *pod) { _ = k.MoveNetdev(ctx, p.ns, netdev(p), host.Home, "ib99") }, "netdev of"},
		"RDMA device home":  {func(_ *node, p *pod) { home(p) }, "RDMA device of"},
		"PKey gone":         {func(_ *node, p *pod) { lab.Program(p.guid, 0x7fff) }, "0x9000 is not in"},
		"other membership":  {func(_ *node, p *pod) { lab.Program(p.guid, 0x1000) }, "0x9000 is not in"},
		"PKey at index 1":   {func(_ *node, p *pod) { lab.Program(p.guid, 0x7fff, 0x9000) }, "was at index 0"},
		"address lost":      {func(n *node, p *pod) { n.ipam.lose(p) }, "has no address"},
		"another address":   {func(_ *node, p *pod) { p.result.IPs[0].Address.IP[15]++ }, "is missing"},
		"rule lost":         {func(_ *node, p *pod) { _ = k.UnrouteBySource(ctx, p.ns, netdev(p)) }, "rule for packets from"},
		"no answer of ADD":  {func(_ *node, p *pod) { p.result = nil }, "prevResult"},
		"another namespace": {func(n *node, p *pod) { p.ns = lab.NewNetNS("elsewhere") }, "CNI_NETNS"},
		"torn record":       {func(n *node, p *pod) { n.tear(p, "") }, "reading the record"},
		"never attached":    {func(_ *node, p *pod) { p.ifname = "net7" }, "no record"},
	} {
		n := newNode(t, lab)
		p := n.pod("c1", 0, 0x0200000000000100)
		n.mustAdd(p)
		ns, was, ifname := p.ns, p.result, p.ifname
		first := was.IPs[0].Address.IP[15]
		c.drift(n, p)
		err := n.check(p)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: CHECK says %v, want %q", name, err, c.says)
		}
		was.IPs[0].Address.IP[15] = first
		p.ns, p.result, p.ifname = ns, was, ifname
		n.mustDel(p)
		lab.EndNetNS(ns)
		n.settled()
		n.setGUID(p.vf, n.before[p.vf].Config.PortGUID) // where nobody knows it any more
		if d, _ := k.Device(ctx, p.vf); n.state(p.vf).Port != n.before[p.vf].Port {
			_ = k.Unbind(ctx, p.vf)
			_ = k.Bind(ctx, p.vf, d.Driver)
			n.settled()
		}
	}
}

func (n *node) setGUID(vf host.PCI, g guid.GUID) {
	n.t.Helper()
	d, err := n.lab.Kernel().Device(context.Background(), vf)
	if err == nil {
		err = n.lab.Kernel().SetVFGUID(context.Background(), d.VF, g, g)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// tear leaves of the record of a pod what a disk might that did not keep its word.
func (n *node) tear(p *pod, left string) {
	n.t.Helper()
	for i := range max(1, len(p.chain)) {
		_, env := n.plugin(p, i)
		files, err := filepath.Glob(filepath.Join(env.Store.Dir(), p.id+"@"+p.ifname+"@*"))
		if err != nil || len(files) != 1 {
			n.t.Fatalf("records of %s: %v, %v", p.id, files, err)
		}
		if err := os.WriteFile(files[0], []byte(left), 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
}
