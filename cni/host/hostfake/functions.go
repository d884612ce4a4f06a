package hostfake

import (
	"context"
	"encoding/binary"
	"fmt"
	"syscall"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// function finds a function and lets what is due have happened to it.
func (k *Kernel) function(pci host.PCI) (*function, error) {
	f := k.functions[pci]
	if f == nil {
		return nil, fmt.Errorf("PCI device %s: %w", pci, host.ErrNotFound)
	}
	k.settle(f)
	return f, nil
}

// settle brings devices home and lets udev rename, where it is time.
func (k *Kernel) settle(f *function) {
	d, now := f.dev, time.Now()
	if d == nil {
		return
	}
	if !d.back.IsZero() && !now.Before(d.back) {
		k.rdmaHome(d)
		k.netdevHome(f, d)
		d.back = time.Time{}
	}
	n := d.netdev
	if k.options.UdevDelay > 0 && n.ns == host.Home && !n.renamed && !now.Before(n.appears.Add(k.options.UdevDelay)) {
		n.Name, n.renamed = f.prefix("ib", "en")+udevName(f.pci), true
	}
}

// netdevHome is what the end of a namespace does to its netdev: IPoIB makes a new one, a
// card's own comes as it is, under its name if that is free.
func (k *Kernel) netdevHome(f *function, d *device) {
	if !f.ethernet {
		k.makeNetdev(f, d, host.Home, d.back)
		return
	}
	n := d.netdev
	if n.ns != nowhere {
		return
	}
	if k.names(host.Home)[n.Name] {
		n.Name = firstFree("dev", k.names(host.Home))
	}
	n.ns, n.Up = host.Home, false
}

// udevName is the persistent name that udev makes of an address.
func udevName(pci host.PCI) string {
	var domain, bus, device, function int
	_, _ = fmt.Sscanf(string(pci), "%x:%x:%x.%x", &domain, &bus, &device, &function)
	return fmt.Sprintf("p%ds%df%d", bus, device, function)
}

func (f *function) prefix(infiniband, ethernet string) string {
	if f.ethernet {
		return ethernet
	}
	return infiniband
}

// probe lets the driver make devices of a function, if it is one that does.
func (k *Kernel) probe(f *function) {
	if f.driver == "" || f.driver == host.VFIO {
		return
	}
	k.lastRDMA++
	d := &device{node: f.config.NodeGUID, port: f.config.PortGUID, since: time.Now()}
	if m := f.config.Ethernet.MAC; m != (host.MAC{}) {
		d.node = guid.GUID(m[0])<<56 | guid.GUID(m[1])<<48 | guid.GUID(m[2])<<40 | 0xfffe<<24 | guid.GUID(m[3])<<16 | guid.GUID(m[4])<<8 | guid.GUID(m[5])
	}
	d.rdma = host.RDMADevice{Index: k.lastRDMA, Name: firstFree("mlx5_", k.rdmaNames(host.Home))}
	k.makeNetdev(f, d, host.Home, time.Now())
	f.dev = d
}

// makeNetdev gives a device a new netdev in place of the one it has.
func (k *Kernel) makeNetdev(f *function, d *device, ns host.NetNS, at time.Time) {
	k.lastIndex++
	d.netdev = nil // its own old name is free again
	n := &netdev{of: f, ns: ns, appears: at.Add(k.options.NetdevDelay)}
	n.Index, n.Name = k.lastIndex, firstFree(f.prefix("ib", "eth"), k.names(ns))
	if n.MTU, n.Addr = 4092, ipoibAddr(d.port); f.ethernet {
		n.MTU, n.Addr = 1500, etherAddr(f)
	}
	d.netdev = n
}

func ipoibAddr(port guid.GUID) []byte {
	addr := make([]byte, 20)
	binary.BigEndian.PutUint64(addr[12:], uint64(port))
	return addr
}

// etherAddr is what the PF has set, else the VF's own.
func etherAddr(f *function) []byte {
	m := f.config.Ethernet.MAC
	if m == (host.MAC{}) {
		m = host.MAC{0x02, 0xbb, 0, 0, byte(f.vf.Index >> 8), byte(f.vf.Index)}
	}
	return m[:]
}

func (k *Kernel) names(ns host.NetNS) map[string]bool {
	taken := map[string]bool{}
	for _, f := range k.functions {
		if f.dev == nil || f.dev.netdev == nil || f.dev.netdev.ns != ns {
			continue
		}
		taken[f.dev.netdev.Name] = true
		for _, c := range f.dev.netdev.Children {
			taken[c.Name] = true
		}
	}
	return taken
}

func firstFree(prefix string, taken map[string]bool) string {
	for i := 0; ; i++ {
		if name := fmt.Sprint(prefix, i); !taken[name] {
			return name
		}
	}
}

// Device implements host.Functions.
func (k *Kernel) Device(_ context.Context, pci host.PCI) (host.Device, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := k.function(pci)
	if err != nil {
		return host.Device{}, err
	}
	return host.Device{PCI: pci, Driver: f.driver, VF: f.vf}, nil
}

// Unbind implements host.Functions.
func (k *Kernel) Unbind(_ context.Context, pci host.PCI) error {
	time.Sleep(k.options.BindTime)
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := k.function(pci)
	if err != nil {
		return err
	}
	f.driver, f.dev = "", nil
	return nil
}

// Bind implements host.Functions.
func (k *Kernel) Bind(_ context.Context, pci host.PCI, driver string) error {
	time.Sleep(k.options.BindTime)
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := k.function(pci)
	switch {
	case err != nil:
		return err
	case f.driver == driver:
		return nil
	case f.driver != "":
		return fmt.Errorf("binding %s to %s: it is bound to %s: %w", pci, driver, f.driver, syscall.EBUSY)
	}
	f.driver = driver
	k.probe(f)
	return nil
}

// vf finds a VF by its number under its PF.
func (k *Kernel) vf(vf host.VF) (*function, error) {
	if pf := k.functions[vf.PF]; pf == nil || pf.dev == nil {
		return nil, fmt.Errorf("netdev of %s: %w", vf.PF, host.ErrNotFound)
	}
	for pci, f := range k.functions {
		if f.vf == vf {
			return k.function(pci)
		}
	}
	return nil, fmt.Errorf("%s: %w", vf, host.ErrNotFound)
}

// VFConfig implements host.VFs.
func (k *Kernel) VFConfig(_ context.Context, vf host.VF) (host.VFConfig, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := k.vf(vf)
	if err != nil {
		return host.VFConfig{}, err
	}
	told := f.config
	if k.options.SilentPFs {
		told.NodeGUID, told.PortGUID = 0, 0
	}
	return told, nil
}

// SetVFGUID implements host.VFs.
func (k *Kernel) SetVFGUID(_ context.Context, vf host.VF, node, port guid.GUID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := k.vf(vf)
	if err != nil {
		return err
	}
	if f.ethernet {
		return fmt.Errorf("setting the GUIDs of %s: %w", vf, syscall.EOPNOTSUPP)
	}
	f.config.NodeGUID, f.config.PortGUID = node, port
	return nil
}

// SetVFLinkState implements host.VFs.
func (k *Kernel) SetVFLinkState(_ context.Context, vf host.VF, state host.LinkState) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := k.vf(vf)
	if err != nil {
		return err
	}
	f.config.LinkState = state
	return nil
}

// SetVFEthernet implements host.VFs. What comes before a refused setting stays.
func (k *Kernel) SetVFEthernet(_ context.Context, vf host.VF, to host.Ethernet) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := k.vf(vf)
	if err != nil {
		return err
	}
	if !f.ethernet {
		return fmt.Errorf("setting %s: %w", vf, syscall.EOPNOTSUPP)
	}
	e := &f.config.Ethernet
	e.MAC, e.VLAN, e.QoS, e.Proto = to.MAC, to.VLAN, to.QoS, to.Proto
	if k.options.NoMinRate && to.MinRate != 0 {
		return fmt.Errorf("setting the rate of %s: %w", vf, syscall.EINVAL)
	}
	*e = to
	return nil
}
