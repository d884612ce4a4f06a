//go:build linux

package cni

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// fact is what the plugins rely on of the kernel, so that a story that fails can be told
// from a kernel that has changed.
type fact struct {
	name string
	show func(*testing.T, *Lab)
}

func facts() []fact {
	return []fact{
		{"a VF takes over the GUIDs of its PF when its driver binds", guidsByRebind},
		{"an InfiniBand netdev is made anew where its generation of kernels makes it", netdevFollows},
		{"an RDMA device comes home by a move, and by its namespace's end", deviceComesHome},
		{"an RDMA device leaves and comes home though another has its name by now", namesClash},
		{"a port shows its PKeys once the subnet manager has come", pkeysAppear},
		{"an IPoIB child is seen with its parent", childrenAreSeen},
		{"a RoCE VF keeps its netdev when its RDMA device moves", roceMoves},
	}
}

const someGUID guid.GUID = 0x0200000000000777

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func vf(t *testing.T, l *Lab, pci host.PCI) host.VF {
	t.Helper()
	d, err := l.host.Device(t.Context(), pci)
	must(t, err)
	return d.VF
}

func (l *Lab) rebind(t *testing.T, pci host.PCI) {
	t.Helper()
	must(t, errors.Join(l.host.Unbind(t.Context(), pci), l.host.Bind(t.Context(), pci, driver)))
}

func guidsByRebind(t *testing.T, l *Lab) {
	ctx, pci := t.Context(), l.VFs()[0]
	before, err := l.host.Port(ctx, host.Home, pci)
	must(t, err)
	must(t, l.host.SetVFGUID(ctx, vf(t, l, pci), someGUID, someGUID+1))
	held, err := l.host.VFConfig(ctx, vf(t, l, pci))
	must(t, err)
	// What the kernel tells of an Ethernet VF is the PF's here, and changes with it.
	if held.NodeGUID != someGUID || held.PortGUID != someGUID+1 || held.Ethernet != (host.Ethernet{}) {
		t.Errorf("the PF holds %+v", held)
	}
	if now, err := l.host.Port(ctx, host.Home, pci); err != nil || now.GUID != before.GUID {
		t.Errorf("before the rebind the port has %s, %v", now.GUID, err)
	}
	l.rebind(t, pci)
	if now, err := l.host.Port(ctx, host.Home, pci); err != nil || now.NodeGUID != someGUID || now.GUID != someGUID+1 {
		t.Errorf("after the rebind the port is %+v, %v", now, err)
	}
}

// moveTo moves the RDMA device and waits until it is seen there.
func (l *Lab) moveTo(t *testing.T, pci host.PCI, from, to host.NetNS) {
	t.Helper()
	d, err := l.host.RDMADevice(t.Context(), from, pci)
	must(t, err)
	must(t, l.host.MoveRDMA(t.Context(), from, d.Index, to))
	must(t, eventually("RDMA device in "+to.String(), func() error {
		_, err := l.host.RDMADevice(t.Context(), to, pci)
		return err
	}))
	if _, err := l.host.RDMADevice(t.Context(), from, pci); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("%s shows the RDMA device still (%v)", from, err)
	}
}

func (l *Lab) awaitNetdev(t *testing.T, pci host.PCI, ns host.NetNS) (found host.Netdev) {
	t.Helper()
	must(t, eventually("netdev in "+ns.String(), func() (err error) {
		found, err = l.host.Netdev(t.Context(), ns, pci)
		return err
	}))
	return found
}

// netdevFollows: up to 6.16 it is in the host's namespace, from 6.17 beside the device.
func netdevFollows(t *testing.T, l *Lab) {
	pci, pod := l.VFs()[0], l.NewNetNS("pod")
	before := l.awaitNetdev(t, pci, host.Home)
	l.moveTo(t, pci, host.Home, pod)
	name, err := release()
	must(t, err)
	where := pod
	if strings.HasPrefix(name, "6.1.") || strings.HasPrefix(name, "6.12.") {
		where = host.Home
	}
	if now := l.awaitNetdev(t, pci, where); now.Index == before.Index {
		t.Errorf("the netdev is the former one, %+v", now)
	}
}

func deviceComesHome(t *testing.T, l *Lab) {
	pci, pod := l.VFs()[0], l.NewNetNS("pod")
	l.moveTo(t, pci, host.Home, pod)
	l.moveTo(t, pci, pod, host.Home)
	l.awaitNetdev(t, pci, host.Home)
	l.moveTo(t, pci, host.Home, pod)
	l.EndNetNS(pod)
	must(t, eventually("RDMA device at home", func() error {
		_, err := l.host.RDMADevice(t.Context(), host.Home, pci)
		return err
	}))
	l.awaitNetdev(t, pci, host.Home)
}

// namesClash: up to 7.2 names are the whole node's. From 7.3 they are a namespace's: a rebind
// gives a device the name that another left behind, and they cannot meet under it.
func namesClash(t *testing.T, l *Lab) {
	ctx, first, second, pod := t.Context(), l.VFs()[0], l.VFs()[1], l.NewNetNS("pod")
	at := func(ns host.NetNS, pci host.PCI) host.RDMADevice {
		t.Helper()
		d, err := l.host.RDMADevice(ctx, ns, pci)
		must(t, err)
		return d
	}
	former := at(host.Home, first).Name
	l.moveTo(t, first, host.Home, pod)
	l.rebind(t, second)
	d := at(host.Home, second)
	t.Logf("the first is %s, the second became %s", former, d.Name)
	if d.Name == former {
		if err := l.host.MoveRDMA(ctx, host.Home, d.Index, pod); !errors.Is(err, unix.EEXIST) {
			t.Errorf("two of one name in a namespace: %v, want EEXIST", err)
		}
		must(t, l.host.RenameRDMA(ctx, host.Home, d.Index, "other1000"))
	}
	l.moveTo(t, second, host.Home, pod)
	l.moveTo(t, second, pod, host.Home)
	if d.Name == former {
		must(t, l.host.RenameRDMA(ctx, host.Home, d.Index, former))
	}
	l.EndNetNS(pod)
	must(t, eventually("the first at home", func() error {
		_, err := l.host.RDMADevice(ctx, host.Home, first)
		return err
	}))
	if now := at(host.Home, second); now != d {
		t.Errorf("the second was %+v and is %+v", d, now)
	}
	t.Logf("in the end they are %s and %s", at(host.Home, first).Name, at(host.Home, second).Name)
}

func pkeysAppear(t *testing.T, l *Lab) {
	pci := l.VFs()[0]
	must(t, setSMDelay(time.Hour)) // there is time to look
	defer func() { must(t, setSMDelay(smDelay)) }()
	l.Program(someGUID, 0x9000, 0x7fff, 0x0020)
	must(t, l.host.SetVFGUID(t.Context(), vf(t, l, pci), someGUID, someGUID))
	l.rebind(t, pci)
	if p, err := l.host.Port(t.Context(), host.Home, pci); err != nil || p.State != host.PortInit || p.LID != 0 || !slices.Equal(p.PKeys, []uint16{0x7fff}) {
		t.Errorf("right after the rebind the port is %+v, %v", p, err)
	}
	must(t, setSMDelay(smDelay))
	l.Program(someGUID, 0x9000, 0x7fff, 0x0020) // it comes, now
	shows := func(want ...uint16) {
		t.Helper()
		must(t, eventually("PKeys", func() error {
			p, err := l.host.Port(t.Context(), host.Home, pci)
			if err == nil && (p.State != host.PortActive || p.LID == 0 || !slices.Equal(p.PKeys, want)) {
				err = errors.New("not yet")
			}
			return err
		}))
	}
	shows(0x9000, 0x7fff, 0x0020)
	l.Program(someGUID, 0x7fff)
	shows(0x7fff)
}

func childrenAreSeen(t *testing.T, l *Lab) {
	pci := l.VFs()[0]
	parent := l.awaitNetdev(t, pci, host.Home)
	// The membership bit is always set, whichever membership the port's table has.
	must(t, l.host.AddChild(t.Context(), host.Home, parent.Index, "full", 0x9000))
	must(t, l.host.AddChild(t.Context(), host.Home, parent.Index, "limited", 0x0020))
	now, entries := l.awaitNetdev(t, pci, host.Home), map[string]uint16{}
	for _, c := range now.Children {
		entries[c.Name] = c.Entry
	}
	if !maps.Equal(entries, map[string]uint16{"full": 0x9000, "limited": 0x8020}) {
		where, err := os.Readlink("/sys/class/net/full")
		t.Errorf("children %+v; sysfs has one at %q, %v", now.Children, where, err)
	}
	for _, c := range now.Children {
		must(t, l.host.DeleteNetdev(t.Context(), host.Home, c.Index))
	}
	if other := l.awaitNetdev(t, l.VFs()[1], host.Home); len(other.Children) > 0 || len(l.awaitNetdev(t, pci, host.Home).Children) > 0 {
		t.Errorf("still children, or of another netdev: %+v", other)
	}
}

func roceMoves(t *testing.T, l *Lab) {
	pci, pod := l.RoCE()[0], l.NewNetNS("pod")
	before := l.awaitNetdev(t, pci, host.Home)
	must(t, l.host.MoveNetdev(t.Context(), host.Home, before.Index, pod, "net1"))
	l.moveTo(t, pci, host.Home, pod)
	if now := l.awaitNetdev(t, pci, pod); now.Name != "net1" {
		t.Errorf("the netdev is %+v", now)
	}
	l.EndNetNS(pod)
	if now := l.awaitNetdev(t, pci, host.Home); now.Name != "net1" {
		t.Errorf("at home it is %+v", now)
	}
}
