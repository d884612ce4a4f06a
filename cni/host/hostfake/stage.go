package hostfake

import (
	"fmt"
	"maps"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// How a node is set up for a story, and what happens to it.

// AddPF puts a card into the node: a PF with n VFs, and gives back the VFs' addresses.
// The VFs' GUIDs count up from first; zero is as the firmware leaves them.
func (k *Kernel) AddPF(bus, n int, first guid.GUID) (pf host.PCI, vfs []host.PCI) {
	k.mu.Lock()
	defer k.mu.Unlock()
	pf = host.PCI(fmt.Sprintf("0000:%02x:00.0", bus))
	k.addFunction(&function{pci: pf, driver: Driver})
	for i := range n {
		f := &function{
			pci:    host.PCI(fmt.Sprintf("0000:%02x:%02x.%d", bus, (i+1)/8, (i+1)%8)),
			vf:     host.VF{PF: pf, Index: i},
			driver: Driver,
		}
		if first != 0 {
			f.fresh = host.VFConfig{NodeGUID: first + guid.GUID(i), PortGUID: first + guid.GUID(i)}
		}
		f.config = f.fresh
		k.addFunction(f)
		vfs = append(vfs, f.pci)
	}
	return pf, vfs
}

// AddEthernetPF puts an Ethernet card into the node. The PF has given its VFs addresses
// when macs is set; else each has one of its own making and, as such cards do, no node
// GUID.
func (k *Kernel) AddEthernetPF(bus, n int, macs bool) (pf host.PCI, vfs []host.PCI) {
	k.mu.Lock()
	defer k.mu.Unlock()
	pf = host.PCI(fmt.Sprintf("0000:%02x:00.0", bus))
	k.addFunction(&function{pci: pf, driver: Driver, ethernet: true})
	for i := range n {
		f := &function{
			pci:    host.PCI(fmt.Sprintf("0000:%02x:%02x.%d", bus, (i+1)/8, (i+1)%8)),
			vf:     host.VF{PF: pf, Index: i},
			driver: Driver, ethernet: true,
		}
		f.fresh.Ethernet.SpoofCheck = true
		if macs {
			f.fresh.Ethernet.MAC = host.MAC{0x02, 0xaa, 0, byte(bus), 0, byte(i)}
		}
		f.config = f.fresh
		k.addFunction(f)
		vfs = append(vfs, f.pci)
	}
	return pf, vfs
}

// AddAuxiliary puts a scalable function of an Ethernet card into the node, by its name, as
// in mlx5_core.sf.4.
func (k *Kernel) AddAuxiliary(name host.PCI) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.addFunction(&function{pci: name, driver: Driver, ethernet: true})
}

// Driver is the driver that PFs and VFs begin with.
const Driver = "mlx5_core"

func (k *Kernel) addFunction(f *function) {
	k.functions[f.pci] = f
	k.probe(f)
}

// SetDriver gives a function to another driver, or to none (""), as an operator would.
func (k *Kernel) SetDriver(pci host.PCI, driver string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.functions[pci]
	f.driver, f.dev = driver, nil
	k.probe(f)
}

// Remove takes a function out of the node, as `echo 0 > sriov_numvfs` does.
func (k *Kernel) Remove(pci host.PCI) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.functions, pci)
}

// Program is the subnet manager's part: a port with this GUID gets this PKey table.
func (k *Kernel) Program(g guid.GUID, entries ...uint16) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tables[g] = table{entries, time.Now()}
}

const netNSDir = "/var/run/netns/"

// NewNetNS makes a namespace, unless there is one of the name.
func (k *Kernel) NewNetNS(name string) host.NetNS {
	k.mu.Lock()
	defer k.mu.Unlock()
	ns := host.NetNS(netNSDir + name)
	if !k.has(ns) {
		k.made++
		k.namespaces[ns] = k.made
	}
	return ns
}

// EndNetNS ends a namespace; its devices are home after ReturnDelay.
func (k *Kernel) EndNetNS(ns host.NetNS) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.namespaces, ns)
	maps.DeleteFunc(k.addresses, func(a address, _ configured) bool { return a.ns == ns })
	maps.DeleteFunc(k.rules, func(r rule, _ int) bool { return r.ns == ns })
	for _, f := range k.functions {
		d := f.dev
		if d == nil || d.ns != ns && d.netdev.ns != ns {
			continue
		}
		d.back = time.Now().Add(k.options.ReturnDelay)
		if d.ns == ns || !f.ethernet {
			d.ns = nowhere
		}
		if d.netdev.ns == ns || !f.ethernet {
			d.netdev.ns, d.netdev.Children = nowhere, nil
		}
	}
}

// nowhere is where devices are while the kernel brings them back.
const nowhere host.NetNS = "(coming back)"

// Reboot ends all namespaces and makes every function anew.
func (k *Kernel) Reboot() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.boots++
	k.boot = fmt.Sprintf("boot-%d", k.boots)
	clear(k.namespaces)
	clear(k.addresses)
	clear(k.rules)
	for _, f := range k.functions {
		f.config, f.dev = f.fresh, nil
		if f.driver == "" {
			f.driver = Driver
		}
		k.probe(f)
	}
}

// Addresses says what Configure gave the netdev, "" when nothing.
func (k *Kernel) Addresses(ns host.NetNS, name string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.addresses[address{ns, name}].ips
}
