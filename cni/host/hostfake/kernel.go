// Package hostfake is a kernel for tests: a host.Kernel in memory that does to devices
// what real ones were seen to do. A rebind makes netdev and RDMA device anew, under other
// indices and names; moving an RDMA device makes its IPoIB netdev anew, in a namespace
// that depends on the kernel's generation; a namespace that ends gives its devices back
// after a while; a subnet manager fills PKey tables in its own time.
//
// Nothing runs in the background: what happens later is worked out when somebody looks,
// from time.Now. In a synctest bubble an hour of it takes no time.
package hostfake

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// Generation says where the netdev of a moved RDMA device turns up.
type Generation string

const (
	// HostNetdev is Linux up to 6.16: in the host's namespace.
	HostNetdev Generation = "netdev re-created in the host"
	// PodNetdev is Linux 6.17 and later: in the namespace of the RDMA device.
	PodNetdev Generation = "netdev re-created in the pod"
)

// Generations are both, for tests that hold on either.
func Generations() []Generation { return []Generation{HostNetdev, PodNetdev} }

// Options are how the kernel behaves. Delays that are zero are no delays.
type Options struct {
	Generation  Generation    // HostNetdev unless told
	Mode        host.RDMAMode // host.Exclusive unless told
	SMDelay     time.Duration // from a port's coming up to its PKeys and ACTIVE
	BindTime    time.Duration // how long a driver takes to bind, and to let go
	NetdevDelay time.Duration // from a bind or move to the netdev
	UdevDelay   time.Duration // from a netdev's appearing to its renaming; zero: never
	ReturnDelay time.Duration // from a namespace's end to its devices' return
	BootID      string        // "boot-1" unless told
	NoMinRate   bool          // Ethernet PFs refuse a lower limit for a VF's rate
}

// Kernel is the fake. Its methods beyond host.Kernel set the stage.
type Kernel struct {
	options Options

	mu         sync.Mutex
	boot       string
	boots      int
	functions  map[host.PCI]*function
	namespaces map[host.NetNS]bool
	addresses  map[address]configured
	announced  []string
	rules      map[rule]int
	tables     map[guid.GUID]table
	lastIndex  int
	lastRDMA   uint32
}

var _ host.Kernel = (*Kernel)(nil)

// address names a netdev that Configure was called for.
type address struct {
	ns   host.NetNS
	name string
}

// configured is what it got; rule is a source address with a table of its own, that of
// the netdev with some index.
type (
	configured struct {
		ips                string
		default4, default6 bool
	}
	rule struct {
		ns host.NetNS
		ip string
	}
)

// table is what the subnet manager has for a port with some GUID, since when.
type table struct {
	entries []uint16
	since   time.Time
}

// function is a PCI function. dev is nil while no driver of the kernel's network stack
// has it.
type function struct {
	pci      host.PCI
	vf       host.VF
	ethernet bool
	driver   string
	config   host.VFConfig
	fresh    host.VFConfig // as after a reboot
	dev      *device
}

// device is what a driver made of a function, with the GUIDs it found at the time.
type device struct {
	node, port guid.GUID
	since      time.Time
	rdma       host.RDMADevice
	ns         host.NetNS // of the RDMA device
	netdev     *netdev
	back       time.Time // when the devices of an ended namespace are home; zero: not under way
}

type netdev struct {
	host.Netdev
	of      *function
	ns      host.NetNS
	appears time.Time
	renamed bool // by udev, or by somebody who asked for a name
}

// New is a kernel without devices.
func New(options Options) *Kernel {
	if options.Generation == "" {
		options.Generation = HostNetdev
	}
	if options.Mode == "" {
		options.Mode = host.Exclusive
	}
	if options.BootID == "" {
		options.BootID = "boot-1"
	}
	return &Kernel{
		options: options, boot: options.BootID, boots: 1,
		functions: map[host.PCI]*function{}, namespaces: map[host.NetNS]bool{},
		addresses: map[address]configured{}, rules: map[rule]int{}, tables: map[guid.GUID]table{}, lastIndex: 10,
	}
}

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

// NewNetNS makes a namespace.
func (k *Kernel) NewNetNS(name string) host.NetNS {
	k.mu.Lock()
	defer k.mu.Unlock()
	ns := host.NetNS("/var/run/netns/" + name)
	k.namespaces[ns] = true
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

// BootID implements host.Node.
func (k *Kernel) BootID(context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.boot, nil
}

// HasNetNS implements host.Node.
func (k *Kernel) HasNetNS(_ context.Context, ns host.NetNS) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.has(ns), nil
}

func (k *Kernel) has(ns host.NetNS) bool { return ns == host.Home || k.namespaces[ns] }

// RDMAMode implements host.Node.
func (k *Kernel) RDMAMode(context.Context) (host.RDMAMode, error) { return k.options.Mode, nil }
