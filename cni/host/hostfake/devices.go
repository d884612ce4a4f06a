package hostfake

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
)

// Netdev implements host.Netdevs.
func (k *Kernel) Netdev(_ context.Context, ns host.NetNS, pci host.PCI) (host.Netdev, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := k.function(pci)
	if err != nil {
		return host.Netdev{}, err
	}
	if !k.has(ns) || f.dev == nil || f.dev.netdev.ns != ns || time.Now().Before(f.dev.netdev.appears) {
		return host.Netdev{}, fmt.Errorf("netdev of %s in %s: %w", pci, ns, host.ErrNotFound)
	}
	found := f.dev.netdev.Netdev
	found.Children, found.Carrier = slices.Clone(found.Children), found.Up
	return found, nil
}

// netdevAt finds a netdev by its index in a namespace.
func (k *Kernel) netdevAt(ns host.NetNS, index int) (*netdev, error) {
	for _, f := range k.functions {
		k.settle(f)
		if f.dev != nil && f.dev.netdev.ns == ns && f.dev.netdev.Index == index && !time.Now().Before(f.dev.netdev.appears) {
			return f.dev.netdev, nil
		}
	}
	return nil, fmt.Errorf("netdev %d in %s: %w", index, ns, host.ErrNotFound)
}

// hasChild reports whether a netdev with this index is somebody's child.
func (k *Kernel) hasChild(ns host.NetNS, index int) bool {
	for _, f := range k.functions {
		if f.dev != nil && f.dev.netdev.ns == ns && slices.ContainsFunc(f.dev.netdev.Children, func(c host.Child) bool { return c.Index == index }) {
			return true
		}
	}
	return false
}

// MoveNetdev implements host.Netdevs. The index changes, as it does in a real kernel
// when the new namespace has it already.
func (k *Kernel) MoveNetdev(_ context.Context, from host.NetNS, index int, to host.NetNS, name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.netdevAt(from, index)
	switch {
	case err != nil:
		return err
	case !k.has(to):
		return fmt.Errorf("network namespace %s: %w", to, host.ErrNotFound)
	case k.names(to)[name]:
		return fmt.Errorf("moving netdev %d to %s as %s: %w", index, to, name, syscall.EEXIST)
	}
	delete(k.addresses, address{from, n.Name})
	k.lastIndex++
	n.Index, n.Name, n.ns, n.Up, n.renamed = k.lastIndex, name, to, false, true
	return nil
}

// RenameNetdev implements host.Netdevs.
func (k *Kernel) RenameNetdev(_ context.Context, ns host.NetNS, index int, name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.netdevAt(ns, index)
	if err != nil {
		return err
	}
	if n.Name != name && k.names(ns)[name] {
		return fmt.Errorf("renaming %s in %s to %s: %w", n.Name, ns, name, syscall.EEXIST)
	}
	n.Name, n.renamed = name, true
	return nil
}

// SetNetdevUp implements host.Netdevs.
func (k *Kernel) SetNetdevUp(_ context.Context, ns host.NetNS, index int, up bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hasChild(ns, index) {
		return nil
	}
	n, err := k.netdevAt(ns, index)
	if err != nil {
		return err
	}
	n.Up = up
	return nil
}

// SetNetdevMTU implements host.Netdevs.
func (k *Kernel) SetNetdevMTU(_ context.Context, ns host.NetNS, index, mtu int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.netdevAt(ns, index)
	if err == nil {
		n.MTU = mtu
	}
	return err
}

// SetNetdevAddr implements host.Netdevs. As cards do, it refuses another address than the
// one that the PF has set, unless the VF is trusted.
func (k *Kernel) SetNetdevAddr(_ context.Context, ns host.NetNS, index int, addr host.MAC) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.netdevAt(ns, index)
	if err != nil {
		return err
	}
	admin := n.of.config.Ethernet
	if admin.MAC != (host.MAC{}) && admin.MAC != addr && !admin.Trust {
		return fmt.Errorf("setting the address of %s to %s: %w", n.Name, addr, syscall.EPERM)
	}
	n.Addr = addr[:]
	return nil
}

// membership is the bit that the kernel gives every child (ipoib_new_child_link).
const membership = 0x8000

// AddChild implements host.Children.
func (k *Kernel) AddChild(_ context.Context, ns host.NetNS, parent int, name string, entry uint16) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.netdevAt(ns, parent)
	if err != nil {
		return err
	}
	if k.names(ns)[name] {
		return fmt.Errorf("adding netdev %s in %s: %w", name, ns, syscall.EEXIST)
	}
	k.lastIndex++
	n.Children = append(n.Children, host.Child{Index: k.lastIndex, Name: name, Entry: entry | membership})
	return nil
}

// DeleteNetdev implements host.Children.
func (k *Kernel) DeleteNetdev(_ context.Context, ns host.NetNS, index int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.functions {
		if f.dev != nil && f.dev.netdev.ns == ns {
			f.dev.netdev.Children = slices.DeleteFunc(f.dev.netdev.Children, func(c host.Child) bool { return c.Index == index })
		}
	}
	return nil
}

// rdma finds the device of a function as ns shows it.
func (k *Kernel) rdma(ns host.NetNS, pci host.PCI) (*function, error) {
	f, err := k.function(pci)
	if err != nil {
		return nil, err
	}
	shown := f.dev != nil && (f.dev.ns == ns || k.options.Mode == host.Shared)
	if !k.has(ns) || !shown {
		return nil, fmt.Errorf("RDMA device of %s in %s: %w", pci, ns, host.ErrNotFound)
	}
	return f, nil
}

// RDMADevice implements host.RDMA.
func (k *Kernel) RDMADevice(_ context.Context, ns host.NetNS, pci host.PCI) (host.RDMADevice, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := k.rdma(ns, pci)
	if err != nil {
		return host.RDMADevice{}, err
	}
	return f.dev.rdma, nil
}

// rdmaNames are the names of RDMA devices that no other can have in a namespace.
func (k *Kernel) rdmaNames(ns host.NetNS) map[string]bool {
	taken := map[string]bool{}
	for _, f := range k.functions {
		if f.dev != nil && (f.dev.ns == ns || k.options.Generation != PodNames) {
			taken[f.dev.rdma.Name] = true
		}
	}
	return taken
}

// rdmaHome is what the end of a namespace does to its RDMA device: it comes, under a name of
// the kernel's choice if its own is taken.
func (k *Kernel) rdmaHome(d *device) {
	if d.ns == nowhere && k.options.Generation == PodNames {
		if k.rdmaNames(host.Home)[d.rdma.Name] {
			d.rdma.Name = fmt.Sprint("ibdev", d.rdma.Index)
		}
	}
	d.ns = host.Home
}

// MoveRDMA implements host.RDMA. It resets the device's clients: an IPoIB netdev ends,
// wherever it is, and a new one is made. An Ethernet card's netdev is no client.
func (k *Kernel) MoveRDMA(_ context.Context, from host.NetNS, index uint32, to host.NetNS) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.options.Mode == host.Shared {
		return fmt.Errorf("moving RDMA device %d: %w", index, syscall.EOPNOTSUPP)
	}
	if !k.has(to) {
		return fmt.Errorf("network namespace %s: %w", to, host.ErrNotFound)
	}
	for _, f := range k.functions {
		k.settle(f)
		if f.dev == nil || f.dev.rdma.Index != index || f.dev.ns != from {
			continue
		}
		if k.rdmaNames(to)[f.dev.rdma.Name] && to != from && k.options.Generation == PodNames {
			return fmt.Errorf("moving RDMA device %s to %s: %w", f.dev.rdma.Name, to, syscall.EEXIST)
		}
		f.dev.ns = to
		if f.ethernet {
			return nil
		}
		delete(k.addresses, address{f.dev.netdev.ns, f.dev.netdev.Name})
		if k.options.Generation == HostNetdev {
			to = host.Home
		}
		k.makeNetdev(f, f.dev, to, time.Now())
		return nil
	}
	return fmt.Errorf("RDMA device %d in %s: %w", index, from, host.ErrNotFound)
}

// RenameRDMA implements host.RDMA.
func (k *Kernel) RenameRDMA(_ context.Context, ns host.NetNS, index uint32, name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.functions {
		k.settle(f)
		if f.dev == nil || f.dev.rdma.Index != index || f.dev.ns != ns {
			continue
		}
		if f.dev.rdma.Name != name && k.rdmaNames(ns)[name] {
			return fmt.Errorf("renaming RDMA device %s in %s to %s: %w", f.dev.rdma.Name, ns, name, syscall.EEXIST)
		}
		f.dev.rdma.Name = name
		return nil
	}
	return fmt.Errorf("RDMA device %d in %s: %w", index, ns, host.ErrNotFound)
}

// Port implements host.RDMA.
func (k *Kernel) Port(_ context.Context, ns host.NetNS, pci host.PCI) (host.Port, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := k.rdma(ns, pci)
	if err != nil {
		return host.Port{}, err
	}
	d := f.dev
	if f.ethernet {
		return host.Port{NodeGUID: d.node, Ethernet: true, State: host.PortActive}, nil
	}
	p := host.Port{NodeGUID: d.node, GUID: d.port, State: host.PortDown}
	if f.config.LinkState == host.Disable || !d.port.IsValid() {
		return p, nil
	}
	p.State, p.PKeys = host.PortInit, []uint16{0x7fff}
	if k.due(d.since) {
		p.State, p.LID = host.PortActive, uint16(f.vf.Index+2)
	}
	if t, known := k.tables[d.port]; known && k.due(d.since) && k.due(t.since) {
		p.PKeys = slices.Clone(t.entries)
	}
	return p, nil
}

// due reports whether the subnet manager has taken notice of what happened at a time.
func (k *Kernel) due(at time.Time) bool { return !time.Now().Before(at.Add(k.options.SMDelay)) }
